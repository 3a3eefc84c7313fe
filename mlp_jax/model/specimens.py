"""Sample rows to test an exported file on: ordinary, far, missing and unseen values."""

from typing import Any

import numpy as np

from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, NumericColumn, TableEncoding
from mlp_jax.model.saved import Model

TOLERANCE = 1e-5
_UNSEEN = "never seen in training ∅"


def specimens(inputs: InputEncoding, n: int, seed: int = 0) -> Any:
    """Return n sample rows: an array (n, I), or a polars DataFrame."""
    rng = np.random.default_rng(seed)
    if isinstance(inputs, ArrayEncoding):
        return _array(inputs, n, rng)
    import polars as pl

    columns: dict[str, Any] = {}
    for column in inputs.numeric:
        if column.name not in columns:
            columns[column.name] = _column(column, _numbers(column, n, rng))
    for category in inputs.categorical:
        words = [*category.categories, None, _UNSEEN]
        places = rng.permutation(np.arange(max(n, len(words))) % len(words))[:n]
        columns[category.name] = pl.Series([words[place] for place in places], dtype=pl.String)
    return pl.DataFrame(columns)


def feeds(inputs: InputEncoding, rows: Any) -> dict[str, np.ndarray]:
    """Return the rows as inputs of an ONNX file."""
    if isinstance(inputs, ArrayEncoding):
        return {"x": np.asarray(rows, np.uint8 if inputs.pixels else np.float32)}
    from mlp_jax.data.tables.columns import as_text
    from mlp_jax.data.tables.encode import raw_numbers

    names = input_names(inputs)
    found = {names[c.name]: raw_numbers(c, rows[c.name])[:, None] for c in inputs.numeric}
    for category in inputs.categorical:
        text = as_text(rows[category.name]).fill_null("").to_list()
        found[names[category.name]] = np.array(text, object)[:, None]
    return found


def input_names(inputs: TableEncoding) -> dict[str, str]:
    """Return the name of the ONNX input for each column of a table: the column's name if possible.

    The name "" becomes "unnamed"; null characters and lone surrogates are escaped.
    """
    found: dict[str, str] = {}
    kept = {name for name in inputs.column_names if _is_possible(name)}
    for name in inputs.column_names:
        possible = name
        if name not in kept:
            spelled = name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
            possible = spelled or "unnamed"
            while possible in kept:
                possible += "_"
            kept.add(possible)
        found[name] = possible
    return found


def _is_possible(name: str) -> bool:
    whole = name.encode("utf-8", "replace").decode() == name
    return bool(name) and "\0" not in name and whole


def agree(model: Model, found: np.ndarray, expected: np.ndarray) -> bool:
    """Return True if outputs (N, C) agree to 1e-5.

    The tolerance is absolute for probabilities, relative to a column's maximum for regressions.
    """
    size = 1.0
    if model.target.task == "regression":
        size = np.maximum(np.abs(expected).max(axis=0), np.finfo(np.float32).tiny)
    return bool((np.abs(found - expected) <= TOLERANCE * size).all())


def _column(column: NumericColumn, values: np.ndarray) -> Any:
    """Return the numbers as a polars column; days as datetimes in whole microseconds."""
    import polars as pl

    series = pl.Series(values, nan_to_null=True)
    if not column.part:
        return series
    return (series * 86_400e6).round().cast(pl.Int64).cast(pl.Datetime("us"))


def _array(inputs: ArrayEncoding, n: int, rng: np.random.Generator) -> np.ndarray:
    shape = (n, inputs.n_features)
    if inputs.pixels:
        return rng.integers(0, 256, shape, np.uint8)
    s = rng.standard_normal(shape)
    if not inputs.scale:
        return s.astype(np.float32)
    scale, offset = np.array(inputs.scale), np.array(inputs.offset)
    return ((s - offset) / np.where(scale == 0, 1, scale)).astype(np.float32)


def _numbers(column: NumericColumn, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw numbers around the training rows'; a tenth far out, a tenth missing."""
    if column.boolean:
        values = rng.integers(0, 2, n).astype(np.float64)
    elif column.knots:
        low, high = column.knots[0], column.knots[-1]
        values = rng.uniform(low, high, n)
        values[: min(n, len(column.knots))] = column.knots[:n]
    else:
        values = column.center + rng.standard_normal(n) / (column.scale or 1.0)
    far = (rng.random(n) < 0.1) & (not column.boolean)
    values[far] = column.center + (values[far] - column.center) * 20
    values[rng.random(n) < 0.1] = np.nan
    return values
