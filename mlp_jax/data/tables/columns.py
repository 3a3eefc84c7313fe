"""Values of a column as numbers, text or dates, and tests of its kind.

Values of any dtype (numbers as text, whole numbers as floats, booleans as words) are converted to
one form, so that a column means the same in every file. Rows count from 0.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from mlp_jax.data.encoding import TextForm, missing_numbers
from mlp_jax.data.tables.forms import PLAIN, text_days, text_numbers
from mlp_jax.errors import InputError

TRUE_WORDS = ("true", "yes", "t", "y", "1", "1.0")
FALSE_WORDS = ("false", "no", "f", "n", "0", "0.0")
_SECONDS_A_DAY = 86400.0
_EXACT = 2.0**53

RowNumbers = int | np.ndarray
"""Row numbers in messages: the number of the first row, or those of all."""


def is_text(dtype: Any) -> bool:
    """Return True for String, Categorical and Enum."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_date(dtype: Any) -> bool:
    """Return True for Date and Datetime."""
    return isinstance(dtype, pl.Date | pl.Datetime)


def is_number(dtype: Any) -> bool:
    """Return True for numbers, and durations or times of day in seconds."""
    return dtype.is_numeric() or isinstance(dtype, pl.Duration | pl.Time)


def check_type(values: pl.Series) -> None:
    """Raise InputError for a column of lists, records or bytes."""
    dtype = values.dtype
    simple = is_text(dtype) or is_date(dtype) or is_number(dtype)
    if not simple and not isinstance(dtype, pl.Boolean | pl.Null):
        raise InputError(
            f"Column '{values.name}' holds {dtype}, which is neither number, text, boolean nor"
            " date: drop it."
        )


def present(values: pl.Series, na_values: Sequence[str]) -> pl.Series:
    """Replace values that count as missing, the empty text and `na_values`, by null."""
    if values.dtype.is_numeric():
        sentinels = missing_numbers(na_values)
        if not sentinels:
            return values
        return values.set(values.cast(pl.Float64).is_in(sentinels).fill_null(False), None)
    if not is_text(values.dtype):
        return values
    words = values.unique().cast(pl.String)
    folded = words.str.strip_chars().str.to_lowercase()
    missing = words.filter((folded.is_in(["", *na_values])).fill_null(False))
    if not len(missing):
        return values
    gone = values.cast(pl.String).is_in(missing.implode()).fill_null(False)
    return values.set(gone, None) if values.dtype == pl.String else _emptied(values, gone)


def _emptied(values: pl.Series, gone: pl.Series) -> pl.Series:
    """Replace words held as numbers by null where `gone` is True."""
    return pl.select(pl.when(~gone).then(values)).to_series().alias(values.name)


def trimmed(values: pl.Series) -> pl.Series:
    """Strip spaces around words; other values are unchanged."""
    if values.dtype == pl.String:
        return values.str.strip_chars()
    if not is_text(values.dtype):
        return values
    if not values.unique().cast(pl.String).str.contains(r"^\s|\s$").any():
        return values
    words = values.cast(pl.String).str.strip_chars()
    return words.cast(pl.Categorical) if isinstance(values.dtype, pl.Categorical) else words


def as_text(values: pl.Series) -> pl.Series:
    """Return values as text: 3 and 3.0 are "3", true is "true"; missing, NaN and "" are null."""
    dtype = values.dtype
    if dtype.is_numeric() and not dtype.is_integer():
        values = values.cast(pl.Float64).fill_nan(None)
        whole = (values == values.floor()) & (values.abs() < _EXACT)
        whole_text = values.set(~whole, None).cast(pl.Int64).cast(pl.String)
        return values.cast(pl.String).zip_with(~whole.fill_null(False), whole_text)
    text = values if isinstance(dtype, pl.String) else values.cast(pl.String)
    return text.set(text == "", None) if is_text(dtype) and (text == "").any() else text


def distinct_text(values: pl.Series) -> pl.Series:
    """Return the distinct values as sorted text, without missing ones."""
    return as_text(values.unique()).drop_nulls().unique().sort()


def is_missing(values: pl.Series) -> pl.Series:
    """Return a mask of the values that `as_text` makes null, without making the text."""
    missing = values.is_null()
    if values.dtype.is_float():
        missing |= values.is_nan().fill_null(False)
    elif is_text(values.dtype):
        missing |= (values == "").fill_null(False)
    return missing


def as_codes(values: pl.Series, categories: Any) -> pl.Series:
    """Return the index of each value's text among the categories, null for others."""
    words = values if isinstance(values.dtype, pl.Categorical) else as_text(values)
    return words.cast(categories, strict=False).to_physical()


def numbers(
    values: pl.Series, first_row: RowNumbers = 0, form: TextForm = PLAIN
) -> Float64[np.ndarray, " N"]:
    """Return a numeric column as float64, NaN if missing; InputError for other values."""
    dtype = values.dtype
    if is_text(dtype):
        text = values.cast(pl.String)
        found = text_numbers(text, form)
        odd = text.is_not_null() & found.is_null()
        if odd.any():
            odd &= ~is_stray(text, form)
            refuse(values, odd, wanted_number(form), first_row)
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


def is_stray(text: pl.Series, form: TextForm) -> pl.Series:
    """Return a mask of text that is missing or counts as missing in this column."""
    words = ["", *form.missing]
    return text.str.strip_chars().str.to_lowercase().is_in(words).fill_null(True)


def wanted_number(form: TextForm) -> str:
    """Describe a number of a form, for a message."""
    if form.decimal == "." and not form.thousands and not form.symbol:
        return "a number"
    thousands = f"1{form.thousands}234" if form.thousands else "1234"
    return f"a number like {thousands}{form.decimal}5{form.symbol}"


def wanted_date(form: TextForm) -> str:
    """Describe a date of a form, for a message."""
    if form.date:
        return f"a date written as {form.date}"
    return "a date like 2024-02-29 or 2024-02-29T13:30"


def booleans(values: pl.Series, first_row: RowNumbers = 0) -> Float64[np.ndarray, " N"]:
    """Return a boolean column as 0 and 1, NaN if missing; InputError for other values."""
    if isinstance(values.dtype, pl.Boolean | pl.Null):
        return values.cast(pl.Float64).to_numpy()
    text = as_text(values).str.strip_chars().str.to_lowercase()
    yes, no = text.is_in(TRUE_WORDS), text.is_in(FALSE_WORDS)
    refuse(values, ~(yes | no | (text == "")).fill_null(True), "true or false", first_row)
    found = np.where(yes.fill_null(False).to_numpy(), 1.0, 0.0)
    found[~(yes | no).fill_null(False).to_numpy()] = np.nan
    return found


def days(
    values: pl.Series, first_row: RowNumbers = 0, form: TextForm = PLAIN
) -> Float64[np.ndarray, " N"]:
    """Return dates as days since 1970-01-01 (UTC), NaN if missing; InputError for other values."""
    if isinstance(values.dtype, pl.Date | pl.Null):
        return values.cast(pl.Float64).to_numpy()
    if isinstance(values.dtype, pl.Datetime):
        moments = values.dt.timestamp("us").cast(pl.Float64)
        return moments.to_numpy() / (1e6 * _SECONDS_A_DAY)
    text = as_text(values).str.strip_chars()
    found = text_days(text, form)
    wrong = pl.Series(np.isnan(found)) & ~is_stray(text, form)
    refuse(values, wrong, wanted_date(form), first_row)
    return found


def row_number(numbers: RowNumbers, place: int) -> int:
    """Return the number of the row at a position, for messages."""
    return int(numbers[place]) if isinstance(numbers, np.ndarray) else numbers + place


def rows_from(numbers: RowNumbers, start: int) -> RowNumbers:
    """Return the numbers of the rows from a position onwards, for messages."""
    return numbers[start:] if isinstance(numbers, np.ndarray) else numbers + start


def refuse(values: pl.Series, wrong: pl.Series, wanted: str, first_row: RowNumbers) -> None:
    """Raise InputError with column, row and value of the first wrong one, if any."""
    wrong = wrong.fill_null(False)
    if not wrong.any():
        return
    place = wrong.arg_max() or 0
    value = shown(values[place])
    row = row_number(first_row, place)
    raise InputError(f"Column '{values.name}' has {value} in row {row}, which is not {wanted}.")


def shown(value: Any) -> str:
    """Quote a value for a message, shortened."""
    text = re.sub(r"\s+", " ", str(value))
    return f"'{text if len(text) <= 40 else text[:37] + '…'}'"
