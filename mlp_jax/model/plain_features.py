"""Features of a table's rows without polars, whose threads a forked process lacks.

Equal to `data/tables/encode.py`, value by value. Letters: N rows, I features.
"""

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from mlp_jax.data.encoding import (
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    TextForm,
    missing_numbers,
)
from mlp_jax.data.tables.columns import FALSE_WORDS, TRUE_WORDS, shown, wanted_date, wanted_number
from mlp_jax.data.tables.encode import check_columns, date_part, scaled
from mlp_jax.data.tables.forms import (
    LEADING_ZERO,
    MARKS,
    date_pattern,
    number_pattern,
    symbol_patterns,
)
from mlp_jax.errors import InputError
from mlp_jax.model.given_columns import Column, DeclaredCategories, text_of

_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
_DAY = datetime.timedelta(days=1)
_EPOCH = datetime.datetime(1970, 1, 1)


class _InvalidValueError(ValueError):
    """A value that its column cannot hold."""


def plain_features(
    encoding: TableEncoding, columns: Mapping[str, Column], first_row: int = 0
) -> np.ndarray:
    """Return x (N, I) float32 as `encode` does; InputError as in `encode`."""
    check_columns(encoding, list(columns))
    lengths = {len(_values(column)) for column in columns.values()}
    if len(lengths) > 1:
        raise InputError(f"These columns do not form a table: they have {sorted(lengths)} rows.")
    rows = lengths.pop() if lengths else 0
    x = np.empty((rows, encoding.n_features), np.float32)
    at = 0
    for column in encoding.numeric:
        found = _raw(column, columns[column.name], first_row, encoding.na_values)
        v = date_part(found, column.part)
        finite = np.isfinite(v)
        with np.errstate(all="ignore"):
            x[:, at] = scaled(column, np.where(finite, v, column.fill))
        at += 1
        if column.indicator:
            x[:, at] = ~finite
            at += 1
    for category in encoding.categorical:
        x[:, at] = _codes(category, columns[category.name], encoding.na_values)
        at += 1
    return x


def plain_numbers(name: str, values: Column, first_row: int = 0) -> np.ndarray:
    """Return a column as float64, NaN where missing; InputError names the first other value."""
    return _raw(NumericColumn(name), values, first_row)


def _values(column: Column) -> Any:
    return column.values if isinstance(column, DeclaredCategories) else column


def _raw(
    column: NumericColumn, values: Column, first_row: int, na_values: Sequence[str] = ()
) -> np.ndarray:
    """Return the column's values as float64, NaN if missing: numbers, 0 and 1, or days."""
    name, form, gone = column.name, column.form, {"", *na_values, *column.form.missing}
    if column.part:
        return _each(name, values, lambda v: _days(v, form, gone), wanted_date(form), first_row)
    if column.boolean:
        return _each(name, values, lambda v: _boolean(v, gone), "true or false", first_row)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        v = values.astype(np.float64)
        return np.where(np.isin(v, missing_numbers(na_values)), np.nan, v)
    if isinstance(values, np.ndarray) and values.dtype.kind == "m":
        seconds = values.astype("timedelta64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    return _each(name, values, lambda v: _number(v, form, gone), wanted_number(form), first_row)


def _each(
    name: str, values: Column, read: Callable[[Any], float], wanted: str, first_row: int
) -> np.ndarray:
    """Apply `read` to each value, once per distinct value."""
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
            except _InvalidValueError:
                raise InputError(
                    f"Column '{name}' has {shown(value)} in row {first_row + row}, which is not"
                    f" {wanted}."
                ) from None
        out[row] = found[key]
    return out


def _parsed(text: str) -> float | None:
    """Return the number that text spells, or None."""
    text = text.strip()
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _parsed_form(text: str, form: TextForm) -> float | None:
    """Return the number that text of a form spells, or None."""
    if (form.decimal, form.thousands, form.symbol) == (".", "", ""):
        return _parsed(text)
    bare = text.strip()
    if form.symbol:
        before, behind = symbol_patterns(form.symbol)
        bare = re.sub(behind, "", re.sub(before, r"\1", bare))
    if not re.search(number_pattern(form.decimal, form.thousands), bare):
        return None
    if form.thousands:
        bare = re.sub(MARKS[form.thousands], "", bare)
    return _parsed(bare.replace(",", "."))


def _number(value: Any, form: TextForm, gone: AbstractSet[str]) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        if value.strip().lower() in gone:
            return math.nan
        found = _parsed_form(value, form)
        if found is None:
            raise _InvalidValueError
        return found
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return seconds + value.microsecond * 1e-6
    if isinstance(value, bool | int | float):
        return float(value)
    raise _InvalidValueError


def _boolean(value: Any, gone: AbstractSet[str]) -> float:
    text = "" if value is None or value != value else text_of(value).strip().lower()
    if text in TRUE_WORDS:
        return 1.0
    if text in FALSE_WORDS:
        return 0.0
    if text in gone:
        return math.nan
    raise _InvalidValueError


def _days(value: Any, form: TextForm, gone: AbstractSet[str]) -> float:
    """Return days since 1970-01-01 UTC of a date, a datetime, or either as text."""
    if value is None or value != value:
        return math.nan
    if isinstance(value, str):
        if value.strip().lower() in gone:
            return math.nan
        try:
            value = _moment(value.strip(), form)
        except ValueError:
            raise _InvalidValueError from None
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return (value - _EPOCH) / _DAY
    if isinstance(value, datetime.date):
        return float((value - _EPOCH.date()).days)
    raise _InvalidValueError


def _moment(text: str, form: TextForm) -> datetime.datetime:
    """Parse a datetime from text of a form; ValueError for other text."""
    if not form.date:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        return datetime.datetime.fromisoformat(text)
    found = re.search(date_pattern(form.date), text)
    if found is None:
        raise ValueError(text)
    day = datetime.datetime.strptime(found.group(1), form.date)
    if found.group(2) is None:
        return day
    clock = found.group(2).upper().replace(" ", "")
    twelve = clock.endswith("M")
    fields = clock.rstrip("APM").split(":")
    hour = int(fields[0]) % 12 + 12 * clock.endswith("PM") if twelve else int(fields[0])
    seconds = float(fields[2]) if len(fields) > 2 else 0.0
    return day + datetime.timedelta(hours=hour, minutes=int(fields[1]), seconds=seconds)


def _codes(column: CategoricalColumn, values: Column, na_values: Sequence[str]) -> np.ndarray:
    """Return the code of each value: by text, else by value among the categories."""
    by_text = {name: k + 1 for k, name in enumerate(column.categories)}
    spelled = [(_parsed(name), k + 1) for k, name in enumerate(column.categories)]
    times = Counter(number for number, _ in spelled)
    by_number = {
        number: code
        for number, code in spelled
        if number is not None and math.isfinite(number) and times[number] == 1
    }

    def code(value: Any) -> float:
        if value is None or value != value:
            return column.missing
        text = text_of(value)
        if text in by_text:
            return by_text[text]
        if not text or (isinstance(value, str) and text.strip().lower() in ("", *na_values)):
            return column.missing
        number = None if re.search(LEADING_ZERO, text) else _parsed(text)
        return column.rare if number is None else by_number.get(number, column.rare)

    return _each(column.name, values, code, "a category", 0)
