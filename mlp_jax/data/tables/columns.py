"""What the values of a column are: as numbers, as text, as dates; and which kind a column is.

Values arrive in whatever type a reader gave them (numbers as text, whole numbers as floats,
booleans as words) and leave in one form, so that a column means the same in every file.
Rows count from 0.
"""

import re
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from mlp_jax.data.table import Kind
from mlp_jax.errors import InputError

# What stands for a missing number in text, besides nothing at all (compared in lower case).
MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "?", "-")
TRUE_WORDS = ("true", "yes", "t", "y", "1", "1.0")
FALSE_WORDS = ("false", "no", "f", "n", "0", "0.0")
_WORD_PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
_SPELLINGS = 6  # yes, Yes, YES and the same of no
_ISO_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_SECONDS_A_DAY = 86400.0
_EXACT = 2.0**53

RowNumbers = int | np.ndarray
"""What messages call the rows of a column: the number of the first one, or those of all."""


def is_text(dtype: Any) -> bool:
    """Whether values of that type are words: String, Categorical, Enum."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_date(dtype: Any) -> bool:
    """Whether values of that type are days or moments."""
    return isinstance(dtype, pl.Date | pl.Datetime)


def is_number(dtype: Any) -> bool:
    """Whether values of that type are numbers, or a span or time of day in seconds."""
    return dtype.is_numeric() or isinstance(dtype, pl.Duration | pl.Time)


def check_type(values: pl.Series) -> None:
    """InputError for a column of lists, records or bytes."""
    dtype = values.dtype
    simple = is_text(dtype) or is_date(dtype) or is_number(dtype)
    if not simple and not isinstance(dtype, pl.Boolean | pl.Null):
        raise InputError(
            f"Column '{values.name}' holds {dtype}, which is neither number, text, boolean nor"
            " date: drop it."
        )


def find_kind(values: pl.Series) -> Kind:
    """The kind of a column, from the type of its (training) values and, for text, from them all."""
    check_type(values)
    if isinstance(values.dtype, pl.Boolean):
        return "boolean"
    if is_date(values.dtype):
        return "date"
    if not is_text(values.dtype):
        return "numeric"
    distinct = distinct_text(values)
    words = set(distinct.head(_SPELLINGS + 1).str.strip_chars().str.to_lowercase())
    if len(distinct) <= _SPELLINGS and any(words <= pair for pair in _WORD_PAIRS):
        return "boolean"
    missing = distinct.str.strip_chars().str.to_lowercase().is_in(MISSING_WORDS)
    spelled = distinct.filter(~missing)
    if not len(spelled):
        return "categorical"
    if spelled.str.strip_chars().str.contains(_ISO_DATE).all():
        return "date"
    return "numeric" if parse_numbers(spelled).is_not_null().all() else "categorical"


def as_text(values: pl.Series) -> pl.Series:
    """The values as text: 3 and 3.0 are "3", true is "true"; missing, NaN and "" are null."""
    dtype = values.dtype
    if dtype.is_numeric() and not dtype.is_integer():
        values = values.cast(pl.Float64).fill_nan(None)
        whole = (values == values.floor()) & (values.abs() < _EXACT)
        whole_text = values.set(~whole, None).cast(pl.Int64).cast(pl.String)
        return values.cast(pl.String).zip_with(~whole.fill_null(False), whole_text)
    text = values if isinstance(dtype, pl.String) else values.cast(pl.String)
    return text.set(text == "", None) if is_text(dtype) and (text == "").any() else text


def distinct_text(values: pl.Series) -> pl.Series:
    """The distinct values as text, sorted, without missing ones."""
    return as_text(values.unique()).drop_nulls().unique().sort()


def is_missing(values: pl.Series) -> pl.Series:
    """Which values `as_text` makes null, without making the text."""
    missing = values.is_null()
    if values.dtype.is_float():
        missing |= values.is_nan().fill_null(False)
    elif is_text(values.dtype):
        missing |= (values == "").fill_null(False)
    return missing


def as_codes(values: pl.Series, categories: Any) -> pl.Series:
    """The index of each value's text among the categories, null where it is none of them."""
    words = values if isinstance(values.dtype, pl.Categorical) else as_text(values)
    return words.cast(categories, strict=False).to_physical()


def parse_numbers(text: pl.Series) -> pl.Series:
    """Text as float64, null where it is no number."""
    return text.str.strip_chars().cast(pl.Float64, strict=False)


def numbers(values: pl.Series, first_row: RowNumbers = 0) -> Float64[np.ndarray, " N"]:
    """A numeric column as float64, NaN where missing; InputError names the first other value."""
    dtype = values.dtype
    if is_text(dtype):
        text = values.cast(pl.String)
        found = parse_numbers(text)
        odd = text.is_not_null() & found.is_null()
        if odd.any():
            odd &= ~text.str.strip_chars().str.to_lowercase().is_in(MISSING_WORDS)
            refuse(values, odd, "a number", first_row)
        return found.to_numpy()
    if isinstance(dtype, pl.Duration):
        values = values.dt.total_seconds(fractional=True)
    elif isinstance(dtype, pl.Time):
        values = values.cast(pl.Int64) * 1e-9
    elif not dtype.is_numeric() and not isinstance(dtype, pl.Boolean | pl.Null):
        refuse(values, values.is_not_null(), "a number", first_row)
    if not isinstance(dtype, pl.Float32 | pl.Float64):
        values = values.cast(pl.Float64)
    return values.to_numpy().astype(np.float64, copy=False)


def booleans(values: pl.Series, first_row: RowNumbers = 0) -> Float64[np.ndarray, " N"]:
    """A boolean column as 0 and 1, NaN where missing; InputError names the first other value."""
    if isinstance(values.dtype, pl.Boolean | pl.Null):
        return values.cast(pl.Float64).to_numpy()
    text = as_text(values).str.strip_chars().str.to_lowercase()
    yes, no = text.is_in(TRUE_WORDS), text.is_in(FALSE_WORDS)
    refuse(
        values, ~(yes | no | text.is_in(MISSING_WORDS)).fill_null(True), "true or false", first_row
    )
    found = np.where(yes.fill_null(False).to_numpy(), 1.0, 0.0)
    found[~(yes | no).fill_null(False).to_numpy()] = np.nan
    return found


def days(values: pl.Series, first_row: RowNumbers = 0) -> Float64[np.ndarray, " N"]:
    """A date column as days since 1970-01-01 (UTC), NaN where missing; InputError names others."""
    if isinstance(values.dtype, pl.Date | pl.Null):
        return values.cast(pl.Float64).to_numpy()
    if isinstance(values.dtype, pl.Datetime):
        moments = values.dt.timestamp("us").cast(pl.Float64)
        return moments.to_numpy() / (1e6 * _SECONDS_A_DAY)
    text = as_text(values).str.strip_chars()
    whole = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Float64)
    missing = text.is_null() | text.str.to_lowercase().is_in(MISSING_WORDS)
    wrong = ~missing & (whole.is_null() | ~text.str.contains(_ISO_DATE))
    refuse(values, wrong, "a date like 2024-02-29 or 2024-02-29T13:30", first_row)
    return whole.to_numpy() + _time_of_day(text)


def _time_of_day(text: pl.Series) -> np.ndarray | float:
    """What follows the day in ISO text, as a part of a day."""
    if (text.str.len_bytes() <= 10).all():
        return 0.0

    def part(pattern: str) -> np.ndarray:
        return text.str.extract(pattern).cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()

    clock = part(r"^.{11}(\d{2})") * 3600 + part(r"^.{13}:(\d{2})") * 60
    seconds = clock + part(r"^.{16}:(\d{2}(?:\.\d+)?)")
    east = (text.str.slice(11).str.contains("+", literal=True)).fill_null(False).to_numpy()
    zone = part(r"[+-](\d{2}):?\d{2}$") * 3600 + part(r"[+-]\d{2}:?(\d{2})$") * 60
    zone = np.where((text.str.len_bytes() > 10).fill_null(False).to_numpy(), zone, 0.0)
    return (seconds - np.where(east, zone, -zone)) / _SECONDS_A_DAY


def row_number(numbers: RowNumbers, place: int) -> int:
    """What messages call the row at a place."""
    return int(numbers[place]) if isinstance(numbers, np.ndarray) else numbers + place


def rows_from(numbers: RowNumbers, start: int) -> RowNumbers:
    """What messages call the rows from a place on."""
    return numbers[start:] if isinstance(numbers, np.ndarray) else numbers + start


def refuse(values: pl.Series, wrong: pl.Series, wanted: str, first_row: RowNumbers) -> None:
    """InputError that names column, row and value of the first that is wrong, if any is."""
    wrong = wrong.fill_null(False)
    if not wrong.any():
        return
    place = wrong.arg_max() or 0
    value = shown(values[place])
    row = row_number(first_row, place)
    raise InputError(f"Column '{values.name}' has {value} in row {row}, which is not {wanted}.")


def shown(value: Any) -> str:
    """A value in a message, in quotes, cut short."""
    text = re.sub(r"\s+", " ", str(value))
    return f"'{text if len(text) <= 40 else text[:37] + '…'}'"
