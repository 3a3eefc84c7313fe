"""Inputs of some rows in readable form: pictures, or values by the names of their columns.

Letters: N rows, I features.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError
from mlp_jax.reports.pictures import input_picture

if TYPE_CHECKING:
    import polars as pl

_MOST_COLUMNS = 40


def array_inputs(
    x: np.ndarray, encoding: ArrayEncoding, rows: np.ndarray
) -> Sequence[np.ndarray | Mapping[str, str]]:
    """Return raw rows of x (N, I): a picture each if the rows are images, else their features."""
    if encoding.image_shape:
        low, high = float(min(x.min(), 0)), float(x.max())
        return [input_picture(x[row], encoding.image_shape, low, high) for row in rows]
    names = encoding.feature_names or tuple(f"feature {i}" for i in range(x.shape[1]))
    return [
        {name: f"{value:.4g}" for name, value in zip(names[:_MOST_COLUMNS], x[row], strict=False)}
        for row in rows
    ]


def frame_of_test_rows(table: Table, parts: Prepared) -> "pl.DataFrame":
    """Return the rows of a table in `parts.test`, in its order, with their original values."""
    if parts.test_rows is not None:
        return table.frame[parts.test_rows]
    from mlp_jax.data.tables.split import labelled_rows

    if table.test is None:
        raise InputError(f"'{table.name}' has no test rows.")
    return table.test.filter(labelled_rows(table.test, parts.target))


def table_inputs(
    frame: "pl.DataFrame", targets: Sequence[str], rows: np.ndarray
) -> list[Mapping[str, str]]:
    """Return rows of a table with their original values, without the targets."""
    columns = [name for name in frame.columns if name not in targets][:_MOST_COLUMNS]
    return [
        {name: _text(value) for name, value in row.items()}
        for row in frame[[int(row) for row in rows]].select(columns).to_dicts()
    ]


def _text(value: object) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
