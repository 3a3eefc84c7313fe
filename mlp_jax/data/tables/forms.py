"""Formats of the numbers and dates in a text column: detection and parsing.

A form applies to a whole column: every word must fit it, except a few stray ones, which then count
as missing. The result is reported in a note and saved with the column.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.encoding import TextForm

PLAIN = TextForm()
SYMBOLS = ("%", "$", "€", "£", "¥", "₹", "USD", "EUR", "GBP", "CHF", "JPY")
STRAY_SHARE = 0.05  # of the rows of a numeric or date column that may be stray words
STRAY_WORDS = 10  # different ones
_LEAST_DISTINCT = 10  # numbers or dates; fewer of them beside a word are categories
MARKS = {
    ",": ",",
    ".": r"\.",
    " ": "[ \u00a0\u2009\u202f]",
    "'": "['\u2019]",
}
_FORMS = (
    PLAIN,
    TextForm(decimal=".", thousands=","),
    TextForm(decimal=",", thousands=""),
    TextForm(decimal=",", thousands="."),
    TextForm(decimal=".", thousands=" "),
    TextForm(decimal=",", thousands=" "),
    TextForm(decimal=".", thousands="'"),
    TextForm(decimal=",", thousands="'"),
)
LEADING_ZERO = r"^\s*0\d+\s*$"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AaPp][Mm])?"
ISO_DATE = (
    r"^\d{4}-\d{2}-\d{2}"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
)
_FIELDS = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{1,2}",
    "%d": r"\d{1,2}",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]{3,9}",
}
DATE_FORMATS = (
    "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y",
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y",
    "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y",
)  # fmt: skip
_DAY_AND_MONTH = {
    "%m/%d/%Y": "%d/%m/%Y",
    "%m/%d/%y": "%d/%m/%y",
    "%m-%d-%Y": "%d-%m-%Y",
}


class FoundForm(NamedTuple):
    """Form of a column, mask of the distinct words that do not fit it (W,), and an alternative."""

    form: TextForm
    stray: np.ndarray
    other: str = ""


def number_form(
    words: pl.Series, rows: np.ndarray, decimal: str = "", likely: str = "."
) -> FoundForm | None:
    """Detect the format of numbers.

    Args:
        words: the distinct words (W,) of a column that are not missing, stripped.
        rows: number of rows of each word (W,).
        decimal: "." or "," if declared; "" to detect it.
        likely: the mark to prefer if the words fit both.

    Returns:
        The form that every word fits, or all but a few, or None. `other` is a second possible
        reading.
    """
    found: list[tuple[TextForm, np.ndarray]] = []
    for symbol in ("", *_symbols(words)):
        bare = _without_symbol(words, symbol)
        fits = [
            (replace(form, symbol=symbol), _matches(bare, form.decimal, form.thousands))
            for form in _FORMS
            if decimal in ("", form.decimal)
        ]
        if symbol == "%":  # 12% and 0.12 in one column have different units
            has = words.str.contains("%", literal=True).to_numpy()
            fits = [(form, fit & has) for form, fit in fits]
        if not symbol and decimal != ",":
            fits[0] = (PLAIN, plain_numbers(words).is_not_null().to_numpy())
        found += sorted(fits, key=lambda one: one[0].decimal != likely)
    codes = words.str.contains(LEADING_ZERO).to_numpy()
    if codes.any():
        return None
    return _best(found, rows)


def date_form(words: pl.Series, rows: np.ndarray, wanted: str = "") -> FoundForm | None:
    """Detect the format of dates, as `number_form` does for numbers.

    wanted: the declared format, "" to detect it.
    """
    formats = (wanted,) if wanted else DATE_FORMATS
    forms = [*([] if wanted else [PLAIN]), *(TextForm(date=date) for date in formats)]
    found = [(form, ~np.isnan(text_days(words, form))) for form in forms]
    best = _best(found, rows)
    other = best and _DAY_AND_MONTH.get(best.form.date, "")
    if best and other and not np.isnan(text_days(words, TextForm(date=other)))[~best.stray].any():
        return best._replace(other=other)
    return best


def _best(found: list[tuple[TextForm, np.ndarray]], rows: np.ndarray) -> FoundForm | None:
    """Return the form that most rows fit, the first on ties, unless too many do not."""
    counts = [int(rows[fits].sum()) for _, fits in found]
    if not counts or not max(counts):
        return None
    form, fits = found[int(np.argmax(counts))]
    if not _is_enough(fits, rows):
        return None
    others = [f for f, fit in found if f.decimal != form.decimal and (fit | ~fits).all()]
    other = others[0].decimal if others and form != PLAIN else ""
    return FoundForm(form, ~fits, other)


def _is_enough(fits: np.ndarray, rows: np.ndarray) -> bool:
    """Return True if few enough words do not fit."""
    n_stray = int(np.count_nonzero(~fits))
    if not n_stray:
        return True
    few = n_stray <= STRAY_WORDS and rows[~fits].sum() <= STRAY_SHARE * rows.sum()
    return bool(few and np.count_nonzero(fits) > _LEAST_DISTINCT)


def _symbols(words: pl.Series) -> tuple[str, ...]:
    return tuple(s for s in SYMBOLS if words.str.contains(s, literal=True).any())


def _without_symbol(words: pl.Series, symbol: str) -> pl.Series:
    """Remove a symbol before the number (after the sign) or after it."""
    if not symbol:
        return words
    before, behind = symbol_patterns(symbol)
    return words.str.replace(before, "${1}").str.replace(behind, "")


def symbol_patterns(symbol: str) -> tuple[str, str]:
    """Return patterns of a symbol before a number, with the sign as group 1, and after it."""
    mark = re.escape(symbol)
    return rf"^([+-]?)\s*{mark}\s*", rf"\s*{mark}$"


def number_pattern(decimal: str, thousands: str) -> str:
    """Return a pattern of numbers with these marks."""
    mark = MARKS[decimal]
    plain = rf"(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    group = rf"|[0-9]{{1,3}}(?:{MARKS[thousands]}[0-9]{{3}})+(?:{mark}[0-9]*)?" if thousands else ""
    return rf"^[+-]?(?:{plain}{group})$"


def _matches(words: pl.Series, decimal: str, thousands: str) -> np.ndarray:
    return words.str.contains(number_pattern(decimal, thousands)).to_numpy()


def plain_numbers(text: pl.Series) -> pl.Series:
    """Parse text as float64, null if it is not a plain number: 3, -0.5, 1e-3, inf."""
    return text.str.strip_chars().cast(pl.Float64, strict=False)


def text_numbers(text: pl.Series, form: TextForm) -> pl.Series:
    """Parse text of a form as float64, null if it is not such a number."""
    if (form.decimal, form.thousands, form.symbol) == (".", "", ""):
        return plain_numbers(text)
    bare = _without_symbol(text.str.strip_chars(), form.symbol)
    fits = pl.Series(_matches(bare.fill_null(""), form.decimal, form.thousands))
    if form.thousands:
        bare = bare.str.replace_all(MARKS[form.thousands], "")
    if form.decimal == ",":
        bare = bare.str.replace(",", ".", literal=True)
    return plain_numbers(bare.set(~fits, None))


def text_days(text: pl.Series, form: TextForm) -> np.ndarray:
    """Parse text of a form as days since 1970-01-01 (UTC) (N,), NaN if it is not such a date."""
    if not form.date:
        whole = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        whole = whole.set(~text.str.contains(ISO_DATE).fill_null(False), None)
        return whole.cast(pl.Float64).to_numpy() + _iso_time(text)
    parts = text.str.strip_chars().str.extract_groups(date_pattern(form.date))
    day, clock = (parts.struct.field(name) for name in parts.struct.fields)
    whole = day.str.to_date(form.date, strict=False).cast(pl.Float64)
    return whole.to_numpy() + _clock(clock)


def date_pattern(date: str) -> str:
    """Return a pattern of dates of a format, with the day and the time of day as groups."""
    pattern = re.escape(date).replace(r"\ ", " ")
    for field, digits in _FIELDS.items():
        pattern = pattern.replace(re.escape(field), digits)
    return rf"^({pattern})(?:[T ,]+({_TIME}))?$"


def _clock(text: pl.Series) -> np.ndarray:
    """Return a time of day as a fraction of a day, 0 without one."""

    def part(pattern: str) -> np.ndarray:
        return text.str.extract(pattern).cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()

    hour = part(r"^(\d+)")
    noon = text.str.contains("(?i)pm$").fill_null(False).to_numpy()
    twelve = text.str.contains("(?i)[ap]m$").fill_null(False).to_numpy()
    hour = np.where(twelve, hour % 12 + 12 * noon, hour)
    return (hour * 3600 + part(r"^\d+:(\d+)") * 60 + part(r"^\d+:\d+:(\d+(?:\.\d+)?)")) / 86400.0


def _iso_time(text: pl.Series) -> np.ndarray | float:
    """Return the time of day in ISO text as a fraction of a day."""
    if (text.str.len_bytes() <= 10).all():
        return 0.0

    def part(pattern: str) -> np.ndarray:
        return text.str.extract(pattern).cast(pl.Float64, strict=False).fill_null(0.0).to_numpy()

    clock = part(r"^.{11}(\d{2})") * 3600 + part(r"^.{13}:(\d{2})") * 60
    seconds = clock + part(r"^.{16}:(\d{2}(?:\.\d+)?)")
    east = (text.str.slice(11).str.contains("+", literal=True)).fill_null(False).to_numpy()
    zone = part(r"[+-](\d{2}):?\d{2}$") * 3600 + part(r"[+-]\d{2}:?(\d{2})$") * 60
    zone = np.where((text.str.len_bytes() > 10).fill_null(False).to_numpy(), zone, 0.0)
    return (seconds - np.where(east, zone, -zone)) / 86400.0
