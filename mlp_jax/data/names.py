"""Names for what the first dense layer of a network sees."""

from mlp_jax.data.encoding import CategoricalColumn, InputEncoding, NumericColumn, TableEncoding


def first_layer_names(inputs: InputEncoding) -> tuple[str, ...]:
    """A name for each input of the first dense layer; () for arrays without names.

    A number has its column's name (with the part of a date), "age missing" is its indicator; a
    category is "work=Private" where it is one-hot and "country[3]" in an embedding.
    """
    if not isinstance(inputs, TableEncoding):
        return inputs.feature_names
    numbers = [name for column in inputs.numeric for name in _number(column)]
    return (*numbers, *(name for column in inputs.categorical for name in _category(column)))


def _number(column: NumericColumn) -> list[str]:
    name = f"{column.name} {column.part.replace('_', ' ')}" if column.part else column.name
    return [name, f"{name} missing"] if column.indicator else [name]


def _category(column: CategoricalColumn) -> list[str]:
    if column.width:
        return [f"{column.name}[{i}]" for i in range(column.width)]
    others = {column.rare: "(rare)", column.missing: "(missing)"}
    known = dict(enumerate(column.categories, start=1)) | others
    return [f"{column.name}={known[code]}" for code in range(1, column.n_codes + 1)]
