"""The small tables that travel with scikit-learn: iris, wine, breast_cancer, diabetes."""

from typing import NamedTuple

from mlp_jax.data.table import Table


class _Small(NamedTuple):
    """The function of scikit-learn, the name of the target's column, and what it holds."""

    function: str
    target: str
    is_class: bool


SMALL_TABLES = {
    "iris": _Small("load_iris", "species", True),
    "wine": _Small("load_wine", "cultivar", True),
    "breast_cancer": _Small("load_breast_cancer", "diagnosis", True),
    "diabetes": _Small("load_diabetes", "progression", False),
}


def load_small_table(name: str) -> Table:
    """A table of SMALL_TABLES: named columns of numbers; classes by name, as text."""
    import polars as pl
    from sklearn import datasets

    small = SMALL_TABLES[name]
    bunch = getattr(datasets, small.function)()
    columns = {str(feature): bunch.data[:, i] for i, feature in enumerate(bunch.feature_names)}
    target = bunch.target_names[bunch.target].tolist() if small.is_class else bunch.target
    frame = pl.DataFrame(columns | {small.target: target})
    task = "classification" if small.is_class else "regression"
    return Table(name=name, frame=frame, targets=(small.target,), task=task)
