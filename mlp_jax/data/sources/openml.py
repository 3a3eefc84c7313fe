"""A table from OpenML by name or number, with its categories and missing values."""

import os
from typing import TYPE_CHECKING, Any

from mlp_jax.data.sources.fetched import phrase, quiet_and_timed
from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.table import Kind, Table
from mlp_jax.errors import DataFileError

if TYPE_CHECKING:
    import polars as pl

PREFIX = "openml:"


def load_openml(spec: str, data_dir: str | os.PathLike[str] | None = None) -> Table:
    """'openml:NAME' (the oldest active version) or 'openml:ID', kept in the data folder.

    scikit-learn fetches it and checks it against the checksum that OpenML gives. The target is
    OpenML's own, if it names one; a nominal one is for classification, a number for regression.
    Raises DataFileError where it cannot be had.
    """
    from sklearn.datasets import fetch_openml

    wanted = spec.removeprefix(PREFIX)
    which: dict[str, Any] = {"data_id": int(wanted)} if wanted.isdecimal() else {"name": wanted}
    folder = data_folder(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_and_timed():
            bunch = fetch_openml(**which, data_home=folder, as_frame=True, n_retries=1, delay=0.5)
    except (OSError, ValueError, KeyError) as error:
        raise DataFileError(
            f"'{spec}' could not be downloaded from openml.org ({phrase(error)}), and is not in"
            f" '{folder / 'openml'}': copy that folder from a machine where it is,"
            " or give the table as a file."
        ) from None
    nominal = [name for name, column in bunch.frame.items() if column.dtype == "category"]
    kinds: dict[str, Kind] = {str(name): "categorical" for name in nominal}
    targets = tuple(str(name) for name in bunch.target_names)
    labels = set(targets) <= set(kinds)
    return Table(
        name=wanted if not wanted.isdecimal() else str(bunch.details.get("name", wanted)),
        frame=_to_polars(bunch.frame),
        targets=targets,
        kinds=kinds,
        task="classification" if labels else "regression",
    )


def _to_polars(frame: Any) -> "pl.DataFrame":
    """A pandas table column by column: categories and text as text, missing values as null."""
    import polars as pl

    columns = []
    for name, column in frame.items():
        missing = column.isna().to_numpy()
        if column.dtype.kind in "biuf" and column.dtype != "category":
            if column.dtype.kind in "iu" and not missing.any():
                values = pl.Series(str(name), column.to_numpy(dtype="int64"))
            elif column.dtype.kind == "b":
                values = pl.Series(str(name), [None if v is None else bool(v) for v in column])
            else:
                numbers = column.to_numpy(dtype="float64", na_value=float("nan"))
                values = pl.Series(str(name), numbers, nan_to_null=True)
        else:
            texts = [None if gone else str(v) for v, gone in zip(column, missing, strict=True)]
            values = pl.Series(str(name), texts, dtype=pl.String)
        columns.append(values)
    return pl.DataFrame(columns)
