"""Application of a TableEncoding to rows, with columns by name in any order and dtype.

Letters: N rows, I features. Rows count from 0.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32, Float64

from mlp_jax.data.encoding import (
    SCALED_LIMIT,
    SMOOTH_CLIP,
    CategoricalColumn,
    DatePart,
    NumericColumn,
    TableEncoding,
)
from mlp_jax.data.tables.columns import (
    RowNumbers,
    as_codes,
    as_text,
    booleans,
    days,
    is_missing,
    numbers,
    present,
    rows_from,
)
from mlp_jax.data.tables.forms import LEADING_ZERO, plain_numbers
from mlp_jax.data.tables.notes import UnseenCategories
from mlp_jax.errors import InputError

BLOCK = 1 << 14  # rows at a time, so that a block's features stay in the processor's cache
YEAR_DAYS = 365.2425
_PERIODS = {"year": YEAR_DAYS, "week": 7.0, "day": 1.0}


def encode(
    encoding: TableEncoding,
    frame: pl.DataFrame,
    *,
    first_row: RowNumbers = 0,
    unseen: UnseenCategories | None = None,
) -> Float32[np.ndarray, "N I"]:
    """Return x (N, I) of the rows of `frame`, which may have additional columns.

    first_row: number of the first row in messages, or those of all. unseen: collects categories
    without a code. Raises InputError for a missing column (with the nearest name), or a value that
    its column cannot hold.
    """
    check_columns(encoding, frame.columns)
    x = np.empty((frame.height, encoding.n_features), np.float32)
    for start in range(0, frame.height, BLOCK):
        block = frame.slice(start, BLOCK)
        rows = rows_from(first_row, start)
        encode_block(encoding, block, x[start : start + BLOCK], rows, unseen)
    return x


def check_columns(encoding: TableEncoding, present: Sequence[str]) -> None:
    """Raise InputError with the missing columns and the nearest existing names."""
    missing = [name for name in encoding.column_names if name not in set(present)]
    if missing:
        raise InputError(f"The table has no column {missing_text(missing, present)}.")


def missing_text(missing: Iterable[str], present: Sequence[str]) -> str:
    """Quote missing names: "'age' (the nearest is 'Age') and 'sex'"."""
    words = []
    for name in missing:
        near = nearest(name, present)
        words.append(f"'{name}'" + (f" (the nearest is '{near}')" if near else ""))
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the most similar known name, ignoring case and surrounding spaces, or None."""
    lowered = {other.strip().lower(): other for other in reversed(known)}
    near = difflib.get_close_matches(name.strip().lower(), list(lowered), n=1, cutoff=0.75)
    return lowered[near[0]] if near else None


def encode_block(
    encoding: TableEncoding,
    block: pl.DataFrame,
    out: np.ndarray,
    first_row: RowNumbers,
    unseen: UnseenCategories | None = None,
) -> None:
    """Fill out (N, I) with the features of a block of rows."""
    at = 0
    found: dict[tuple[str, bool], np.ndarray] = {}
    for column in encoding.numeric:
        key = column.name, bool(column.part)
        if key not in found:
            values = present(block.get_column(column.name), encoding.na_values)
            found[key] = raw_numbers(column, values, first_row)
        v = date_part(found[key], column.part)
        finite = np.isfinite(v)
        out[:, at] = scaled(column, v if finite.all() else np.where(finite, v, column.fill))
        at += 1
        if column.indicator:
            out[:, at] = ~finite
            at += 1
    for category in encoding.categorical:
        values = block.get_column(category.name)
        out[:, at] = codes(category, values, encoding.na_values, unseen)
        at += 1


def raw_numbers(
    column: NumericColumn, values: pl.Series, first_row: RowNumbers = 0
) -> Float64[np.ndarray, " N"]:
    """Return the column's values as float64, NaN if missing: numbers, 0 and 1, or days."""
    if column.part:
        return days(values, first_row, column.form)
    if column.boolean:
        return booleans(values, first_row)
    return numbers(values, first_row, column.form)


def date_part(values: np.ndarray, part: DatePart) -> np.ndarray:
    """Return sine or cosine of 2π·days/period; the values unchanged for "days" and ""."""
    if part in ("", "days"):
        return values
    period, _, wave = part.partition("_")
    phase = values * (2 * np.pi / _PERIODS[period])
    return np.sin(phase) if wave == "sin" else np.cos(phase)


def scaled(column: NumericColumn, v: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """Return the feature of v as `NumericColumn` defines it."""
    if column.scaling == "none":
        return v
    if column.scaling == "quantile":
        return np.interp(v, column.knots, column.scores)
    with np.errstate(over="ignore"):  # infinite for v far outside the training rows
        s = np.clip((v - column.center) * column.scale, -SCALED_LIMIT, SCALED_LIMIT)
    if column.scaling == "standard":
        return s
    return s / np.sqrt(1 + (s / SMOOTH_CLIP) ** 2)


def codes(
    column: CategoricalColumn,
    values: pl.Series,
    na_values: Sequence[str] = (),
    unseen: UnseenCategories | None = None,
) -> np.ndarray:
    """Return the code of each value (N,), whole numbers in float32.

    Values are matched as text, then as numbers: 3 and 3.0 are equal.
    """
    found = as_codes(values, enum_of(column.categories)).cast(pl.Float32)
    out = found.to_numpy() + np.float32(1)
    if not found.null_count():
        return out
    absent = is_missing(present(values, na_values)).to_numpy()
    out[np.isnan(out) & absent] = column.missing
    unknown = np.isnan(out)
    if unknown.any():
        words = as_text(values.filter(pl.Series(unknown)))
        by_number = _codes_by_number(column, words)
        out[unknown] = by_number
        if unseen is not None:
            unseen.add(column, words.filter(pl.Series(by_number == column.rare)))
    return out


def _codes_by_number(column: CategoricalColumn, text: pl.Series) -> np.ndarray:
    by_number = _numbered(column.categories)
    rare = np.full(len(text), column.rare, np.float32)
    if not by_number:
        return rare
    value = plain_numbers(text.set(text.str.contains(LEADING_ZERO), None)).to_numpy()
    known = np.isin(value, np.fromiter(by_number, float))
    rare[known] = [by_number[v] for v in value[known].tolist()]
    return rare


@lru_cache(maxsize=256)
def enum_of(categories: tuple[str, ...]) -> Any:
    """Return the dtype of words that are one of the categories."""
    return pl.Enum(categories)


@lru_cache(maxsize=256)
def _numbered(categories: tuple[str, ...]) -> dict[float, int]:
    """Return the code of each number that exactly one category has."""
    values = plain_numbers(pl.Series(categories, dtype=pl.String)).to_list()
    times = Counter(values)
    return {
        v: k + 1 for k, v in enumerate(values) if v is not None and np.isfinite(v) and times[v] == 1
    }
