"""Columns that number the rows of a table: useless for new rows, and possible target leaks.

Letters: N rows.
"""

import re

import numpy as np
import polars as pl

from mlp_jax.data.tables.columns import is_text, numbers
from mlp_jax.data.tables.reading import Reading

LEAST_ROWS = 20
_MOSTLY = 0.95
_EXACT = 2.0**53  # larger whole numbers are not distinct in float64
_NAMES = re.compile(
    r"^(?i:unnamed: ?\d+|index|idx|id|uid|key|row|row[ _]?(?:id|nr|no|num|number)|nr|no|rownames?"
    r"|.*[ _-](?:id|key|idx))?$|^\w*[a-z](?:Id|ID)$"
)


def is_identifier(values: pl.Series, reading: Reading) -> bool:
    """Return True if a column of whole numbers only numbers the rows or what they describe.

    Either its N values are N consecutive whole numbers in any order; or the column is named like an
    identifier (id, customer_id, index, or "", as pandas writes its index), and 95 % of its values
    are present and distinct.
    """
    if reading.kind != "numeric" or not (values.dtype.is_numeric() or is_text(values.dtype)):
        return False
    named = is_identifier_name(values.name)
    whole = values.dtype.is_integer() or (is_text(values.dtype) and _holds_digits(values))
    v = numbers(values, 0, reading.form)
    finite = v[np.isfinite(v)]
    if len(finite) < LEAST_ROWS or (finite != np.floor(finite)).any():
        return False
    if np.abs(finite).max() >= _EXACT:
        return False
    different = len(np.unique(finite))
    if named:
        return different >= _MOSTLY * len(finite) and len(finite) >= _MOSTLY * len(v)
    counts = len(v) == different == finite.max() - finite.min() + 1
    return bool(whole and counts)


def _holds_digits(values: pl.Series) -> bool:
    return bool(values.cast(pl.String).str.contains(r"^\s*[+-]?\d+\s*$").all())


def is_identifier_name(name: str) -> bool:
    """Return True for the name of an identifier, or no name."""
    return bool(_NAMES.match(name.strip()))
