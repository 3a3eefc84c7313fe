"""Columns that number the rows of a table: they say nothing of new rows, and may leak the target.

Letters: N rows.
"""

import re

import numpy as np
import polars as pl

from mlp_jax.data.tables.columns import is_text, numbers
from mlp_jax.data.tables.reading import Reading

LEAST_ROWS = 20
_NAMES = re.compile(
    r"^(?i:unnamed: ?\d+|index|idx|id|uid|key|row|row[ _]?(?:id|nr|no|num|number)|nr|no|rownames?"
    r"|.*[ _-](?:id|key|idx))?$|^\w*[a-z](?:Id|ID)$"
)


def is_identifier(values: pl.Series, reading: Reading) -> bool:
    """Whether a column of whole numbers is only the number of the row or of what it describes.

    All its N values are different, and either they count up by 1 in the order of the
    rows, or they are N numbers in a row in any order, or the column is called like an identifier
    (id, customer_id, index, or nothing at all, as pandas writes its index).
    """
    n = len(values)
    if reading.kind != "numeric" or n < LEAST_ROWS or values.null_count():
        return False
    if not (values.dtype.is_integer() or (is_text(values.dtype) and _holds_digits(values))):
        return False
    v = numbers(values, 0, reading.form)
    if not np.isfinite(v).all() or len(np.unique(v)) < n:
        return False
    return bool(v.max() - v.min() == n - 1) or is_identifier_name(values.name)


def _holds_digits(values: pl.Series) -> bool:
    return bool(values.cast(pl.String).str.contains(r"^\s*[+-]?\d+\s*$").all())


def is_identifier_name(name: str) -> bool:
    """Whether a column is called like an identifier, or not at all."""
    return bool(_NAMES.match(name.strip()))
