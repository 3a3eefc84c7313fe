"""Columns from users (pandas, polars, lists, arrays) in the few forms that tables have.

Declared types are respected: a category is one whatever its levels are, and objects that are all
numbers are numbers. Letters: N rows.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from mlp_jax.errors import InputError
from mlp_jax.model.forked import check_polars_not_inherited

_EXACT = 2.0**53
_MOMENTS, _SPANS = "datetime64[us]", "timedelta64[us]"


class DeclaredCategories(NamedTuple):
    """Values of a declared categorical column as text, None if missing."""

    values: list[str | None]


Column = np.ndarray | list[Any] | DeclaredCategories


def given_columns(rows: Any) -> dict[str, Column] | None:
    """Return the named columns of a pandas or polars frame or a mapping, names as text; else None.

    Raises InputError for a Series, duplicate names, or values that no column can hold.
    """
    library = library_of(rows)
    if library in ("pandas", "polars") and type(rows).__name__ == "Series":
        raise InputError(
            "A Series is a single column: give a DataFrame, series.to_frame() for one column of"
            " many rows, or series.to_frame().T for one row."
        )
    if isinstance(rows, Mapping):
        check_distinct(list(rows))
        return {str(name): given_column(str(name), values) for name, values in rows.items()}
    if library == "polars":
        if hasattr(rows, "collect"):
            check_polars_not_inherited("collect a LazyFrame")
            rows = rows.collect()
        return {column.name: given_column(column.name, column) for column in rows.get_columns()}
    if library == "pandas" and hasattr(rows, "columns"):
        names = [str(name) for name in rows.columns]
        check_distinct(rows.columns)
        return {name: given_column(name, rows.iloc[:, k]) for k, name in enumerate(names)}
    return None


def library_of(rows: Any) -> str:
    """Return the name of the package that defines the type of the rows."""
    return type(rows).__module__.partition(".")[0]


def check_distinct(names: Iterable[Any]) -> None:
    """Raise InputError for two columns with the same name as text."""
    seen: set[str] = set()
    for name in map(str, names):
        if name in seen:
            raise InputError(f"Two columns are called '{name}': rename or drop one of them.")
        seen.add(name)


def given_column(name: str, values: Any) -> Column:
    """Return the values of a column: an array of numbers, booleans, datetimes or durations; a list
    of text, dates or mixed objects; or DeclaredCategories.
    """
    library = library_of(values)
    if library == "polars":
        return _of_polars(name, values)
    if library == "pandas":
        return _of_pandas(name, values)
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return _of_array(name, values)
    single = np.isscalar(values) or not isinstance(values, Iterable)
    return _of_objects(name, [values] if single else list(values))


def _of_polars(name: str, column: Any) -> Column:
    kind = str(column.dtype).partition("(")[0]
    if kind in ("Categorical", "Enum"):
        return DeclaredCategories(column.to_list())
    if column.dtype.is_numeric() and kind != "Decimal" and not column.null_count():
        return column.to_numpy()
    return _of_objects(name, column.to_list())


def _of_pandas(name: str, column: Any) -> Column:
    if type(column).__name__ != "Series":  # an index, or an extension array
        import pandas as pd

        column = pd.Series(column)
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return _of_array(name, column.to_numpy())
    if type(dtype).__name__ == "CategoricalDtype":
        levels = [text_of(level) for level in dtype.categories]
        codes = column.cat.codes.to_numpy()
        return DeclaredCategories([levels[code] if code >= 0 else None for code in codes])
    if type(dtype).__name__ == "PeriodDtype":
        return column.dt.to_timestamp().to_numpy().astype(_MOMENTS)
    if type(dtype).__name__ == "DatetimeTZDtype":
        return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype(_MOMENTS)
    return _of_objects(name, column.astype(object).to_numpy().tolist())


def _of_array(name: str, values: np.ndarray) -> Column:
    if values.ndim != 1:
        raise InputError(f"Column '{name}' must hold one value per row, not shape {values.shape}.")
    kind = values.dtype.kind
    if kind == "M":
        return values.astype(_MOMENTS)
    if kind == "m":
        return values.astype(_SPANS)
    if kind == "f" and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    if kind in "biuf":
        return values
    if kind == "c":
        raise InputError(f"Column '{name}' holds complex numbers: give real and imaginary parts.")
    return values.tolist()


def _is_missing(value: Any) -> bool:
    """Return True for None, NaN, NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating | Decimal) and bool(value != value)


def holds_numbers(values: Sequence[Any]) -> bool:
    """Return True if objects are numbers, booleans or missing, and not all missing."""
    kinds = _kinds(values) - {"missing"}
    return bool(kinds) and kinds <= {"number", "boolean"}


def _kinds(values: Sequence[Any]) -> set[str]:
    return {kind_of(each) for each in set(map(type, values))}


def kind_of(each: type) -> str:
    """Return the kind of a column's values of a type."""
    if each is type(None) or each.__name__ in ("NAType", "NaTType"):
        return "missing"
    for kind, types in _TYPES.items():
        if issubclass(each, types):
            return kind
    return "text" if each.__name__ in ("Interval", "Period") else "other"


_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool, np.bool_),
    "span": (datetime.timedelta, np.timedelta64),  # NumPy's is a whole number too
    "number": (Integral, Real, Decimal, Fraction),
    "word": (str,),
    "text": (UUID, PurePath),
    "moment": (datetime.datetime, np.datetime64),
    "date": (datetime.date,),
    "time": (datetime.time,),
}


def _of_objects(name: str, values: list[Any]) -> Column:
    """Convert a column of objects by the kinds of all of them."""
    if _kinds(values) - {"word", "boolean"}:
        values = [None if _is_missing(value) else value for value in values]
    kinds = _kinds(values) - {"missing"}
    if kinds <= {"word"} or "other" in kinds:
        return values
    for known, convert in _CONVERT.items():
        if kinds <= set(known.split()):
            return convert(name, values)
    return [None if value is None else text_of(value) for value in values]


def _numbers(name: str, values: list[Any]) -> np.ndarray:
    """Return int64 if all are whole numbers and present, else float64 with NaN for missing ones."""
    if all(isinstance(value, Integral) for value in values):
        try:
            return np.array([int(value) for value in values], np.int64)
        except OverflowError:
            pass
    try:
        return np.array([np.nan if v is None else float(v) for v in values], np.float64)
    except OverflowError:
        raise InputError(f"Column '{name}' has a number that float64 cannot hold.") from None


def _moments(name: str, values: list[Any]) -> np.ndarray:
    return np.array(list(map(_moment, values)), _MOMENTS)


def _moment(value: Any) -> Any:
    """Return a datetime in UTC without a time zone."""
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.to_datetime64() if hasattr(value, "to_datetime64") else np.datetime64(value)


def _spans(name: str, values: list[Any]) -> np.ndarray:
    plain = [v.to_timedelta64() if hasattr(v, "to_timedelta64") else v for v in values]
    return np.array(
        [np.timedelta64("NaT") if v is None else np.timedelta64(v) for v in plain], _SPANS
    )


_CONVERT: dict[str, Callable[[str, list[Any]], Column]] = {
    "boolean": lambda name, values: values,
    "number boolean": _numbers,
    "date": lambda name, values: values,
    "time": lambda name, values: values,
    "date moment": _moments,
    "span": _spans,
}


def text_of(value: Any) -> str:
    """Return a value as the text of a category: 3 and 3.0 are "3", True is "true"."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating | Decimal):
        number = float(value)
        whole = abs(number) < _EXACT and number == int(number)
        return str(int(number)) if whole else repr(number)
    return str(value)


def as_series(name: str, column: Column) -> Any:
    """Return a column as a polars Series; declared categories as an Enum of their values."""
    import polars as pl

    try:
        if isinstance(column, DeclaredCategories):
            levels = sorted({value for value in column.values if value is not None})
            return pl.Series(name, column.values, dtype=pl.Enum(levels))
        return pl.Series(name, column, strict=False)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"Column '{name}' cannot be used ({reason}): give numbers, text, booleans or dates, or"
            " drop it."
        ) from None
