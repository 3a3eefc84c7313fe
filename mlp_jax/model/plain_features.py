"""The features of a table's rows without polars, whose threads a forked process does not have.

`data/tables/encode.py` says what they are; this gives the same, value by value. Letters: N rows, I
features.
"""

import datetime
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlp_jax.data.encoding import CategoricalColumn, NumericColumn, TableEncoding
from mlp_jax.data.tables.columns import FALSE_WORDS, MISSING_WORDS, TRUE_WORDS, shown
from mlp_jax.data.tables.encode import check_columns, date_part, scaled
from mlp_jax.errors import InputError
from mlp_jax.model.given_columns import Categories, Column, text_of

_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.datetime(1970, 1, 1)


class _NotOneError(ValueError):
    """A value that its column cannot hold."""


def plain_features(
    encoding: TableEncoding, columns: Mapping[str, Column], first_row: int = 0
) -> np.ndarray:
    """Return x (N, I) float32, as `encode` gives it; InputError as there."""
    check_columns(encoding, list(columns))
    lengths = {len(_values(column)) for column in columns.values()}
    if len(lengths) > 1:
        raise InputError(f"These columns are no table: they have {sorted(lengths)} rows.")
    rows = lengths.pop() if lengths else 0
    x = np.empty((rows, encoding.n_features), np.float32)
    at = 0
    for column in encoding.numeric:
        v = date_part(_raw(column, columns[column.name], first_row), column.part)
        finite = np.isfinite(v)
        with np.errstate(all="ignore"):
            x[:, at] = scaled(column, np.where(finite, v, column.fill))
        at += 1
        if column.indicator:
            x[:, at] = ~finite
            at += 1
    for category in encoding.categorical:
        x[:, at] = _codes(category, columns[category.name])
        at += 1
    return x


def plain_numbers(name: str, values: Column, first_row: int = 0) -> np.ndarray:
    """Return a column as float64, NaN where missing; InputError names the first other value."""
    return _raw(NumericColumn(name), values, first_row)


def _values(column: Column) -> Any:
    return column.values if isinstance(column, Categories) else column


def _raw(column: NumericColumn, values: Column, first_row: int) -> np.ndarray:
    """The column's values as float64, NaN where missing: numbers, 0 and 1, or days."""
    if column.part:
        return _each(column.name, values, _days, "a date like 2024-02-29 or 2024-02-29T13:30",
                     first_row)  # fmt: skip
    if column.boolean:
        return _each(column.name, values, _boolean, "true or false", first_row)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind == "m":
        seconds = values.astype("timedelta64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    return _each(column.name, values, _number, "a number", first_row)


def _each(
    name: str, values: Column, read: Callable[[Any], float], wanted: str, first_row: int
) -> np.ndarray:
    """What `read` makes of each value, asked once for each distinct one."""
    items = _values(values)
    if isinstance(items, np.ndarray):
        items = items.tolist()
    found: dict[Any, float] = {}
    out = np.empty(len(items))
    for row, value in enumerate(items):
        key = (type(value), value)
        if key not in found:
            try:
                found[key] = read(value)
            except _NotOneError:
                raise InputError(
                    f"Column '{name}' has {shown(value)} in row {first_row + row}, which is not"
                    f" {wanted}."
                ) from None
        out[row] = found[key]
    return out


def _parsed(text: str) -> float | None:
    """The number that text spells, or None."""
    text = text.strip()
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        found = _parsed(value)
        if found is None and value.strip().lower() not in MISSING_WORDS:
            raise _NotOneError
        return math.nan if found is None else found
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return seconds + value.microsecond * 1e-6
    if isinstance(value, bool | int | float):
        return float(value)
    raise _NotOneError


def _boolean(value: Any) -> float:
    text = "" if value is None or value != value else text_of(value).strip().lower()
    if text in TRUE_WORDS:
        return 1.0
    if text in FALSE_WORDS:
        return 0.0
    if text in MISSING_WORDS:
        return math.nan
    raise _NotOneError


def _days(value: Any) -> float:
    """Days since 1970-01-01 UTC of a date, a moment, or either as text."""
    if value is None or value != value:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return math.nan
        if not _DATE.fullmatch(text):
            raise _NotOneError
        try:
            value = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise _NotOneError from None
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return (value - _EPOCH) / _DAY
    if isinstance(value, datetime.date):
        return float((value - _EPOCH.date()).days)
    raise _NotOneError


def _codes(column: CategoricalColumn, values: Column) -> np.ndarray:
    """The code of each value: by its text, else by its value among the categories."""
    by_text = {name: k + 1 for k, name in enumerate(column.categories)}
    by_number: dict[float, int] = {}
    for k, name in enumerate(column.categories):
        number = _parsed(name)
        if number is not None and math.isfinite(number):
            by_number.setdefault(number, k + 1)

    def code(value: Any) -> float:
        if value is None or value != value or value == "":
            return column.missing
        text = text_of(value)
        if text in by_text:
            return by_text[text]
        number = _parsed(text)
        return column.rare if number is None else by_number.get(number, column.rare)

    return _each(column.name, values, code, "a category", 0)
