"""Fit of the columns' encodings to the training rows.

Letters: N rows, I features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import polars as pl

from mlp_jax.data.encoding import CategoricalColumn, DatePart, NumericColumn, TableEncoding
from mlp_jax.data.table import Kind
from mlp_jax.data.tables.columns import RowNumbers, check_type, numbers, present, shown
from mlp_jax.data.tables.encode import date_part, missing_text, raw_numbers
from mlp_jax.data.tables.forms import LEADING_ZERO, plain_numbers
from mlp_jax.data.tables.identifiers import is_identifier
from mlp_jax.data.tables.notes import MissingWords, alike
from mlp_jax.data.tables.number_scaling import TooSpreadError, fit_boolean, fit_numeric
from mlp_jax.data.tables.options import KINDS, ColumnOptions, embedding_width
from mlp_jax.data.tables.reading import Reading, read_column, word_counts
from mlp_jax.data.tables.sentinels import ExtremeValues
from mlp_jax.errors import InputError, UnknownNameError

DATE_WAVES: tuple[DatePart, ...] = (
    "year_sin", "year_cos", "week_sin", "week_cos", "day_sin", "day_cos",
)  # fmt: skip
_FEW_WORDS = 50
_SEVERAL_WORDS = 20
_MARKED = r"^[^A-Za-z]*[0-9][^A-Za-z]*$"  # digits, with marks and signs but no letters


ScalingFit = Callable[[NumericColumn, np.ndarray, ColumnOptions], NumericColumn]


class FittedColumn(NamedTuple):
    """Features of a column, or a note on why there are none."""

    numeric: tuple[NumericColumn, ...] = ()
    categorical: CategoricalColumn | None = None
    notes: tuple[str, ...] = ()


def fit_encoding(
    frame: pl.DataFrame,
    *,
    targets: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    options: ColumnOptions = ColumnOptions(),  # noqa: B008 - frozen
    rows: np.ndarray | None = None,
    ignored: Sequence[str] = (),
) -> tuple[TableEncoding, tuple[str, ...]]:
    """Fit the encoding of all columns but the targets; return it with notes for the user.

    rows: mask (N,) of the training rows; None for all. ignored: columns with another role. Raises
    InputError if no column is usable.
    """
    known = check_kinds(kinds or {}, frame.columns)
    found: dict[str, FittedColumn] = {}
    missing = MissingWords(options.text.na_values)
    chosen = None if rows is None else pl.Series(rows)
    numbered: RowNumbers = 0 if rows is None else np.flatnonzero(rows)
    for name in frame.columns:
        if name in targets or name in ignored:
            continue
        check_type(frame.get_column(name))
        values = present(frame.get_column(name), options.text.na_values)
        missing.add(frame.get_column(name), values)
        kind = known.get(name)
        reading = read_column(values, kind, options.text)
        if kind is None and is_identifier(values, reading):
            found[name] = ignored_identifier(name)
            continue
        training = values if chosen is None else values.filter(chosen)
        try:
            one = fit_column(training, kind, options, reading, numbered)
        except TooSpreadError as error:
            raise error.with_row(numbers(values, 0, reading.form)) from None
        found[name] = one._replace(notes=reading.notes + one.notes)
    encoding = joined(found, options, ignored)
    return encoding, missing.notes() + tuple(n for one in found.values() for n in one.notes)


def joined(
    found: Mapping[str, FittedColumn], options: ColumnOptions, ignored: Sequence[str] = ()
) -> TableEncoding:
    """Join fitted columns to an encoding; InputError if none is usable."""
    numeric = tuple(column for one in found.values() for column in one.numeric)
    categorical = tuple(one.categorical for one in found.values() if one.categorical is not None)
    if not numeric and not categorical:
        raise InputError(
            "No column is usable as a feature."
            + "".join(f" {note}" for one in found.values() for note in one.notes[-1:])
        )
    unused = [n for n, one in found.items() if not one.numeric and one.categorical is None]
    return TableEncoding(
        numeric=numeric,
        categorical=categorical,
        ignored=(*ignored, *unused),
        na_values=options.text.na_values,
    )


def check_kinds(kinds: Mapping[str, str], columns: Sequence[str]) -> dict[str, Kind]:
    """Return the kinds; InputError for an unknown kind or column."""
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise UnknownNameError("kind of column", kind, KINDS)
        if name not in columns:
            raise InputError(
                f"The kind of {missing_text([name], columns)} was given, but there is no such"
                " column."
            )
    return {name: cast(Kind, kind) for name, kind in kinds.items()}


def fit_column(
    values: pl.Series,
    kind: Kind | None,
    options: ColumnOptions,
    reading: Reading,
    rows: RowNumbers = 0,
) -> FittedColumn:
    """Fit a column of training rows.

    kind: declared by the user. reading: inferred from all rows. rows: numbers of the rows in
    messages.
    """
    if values.null_count() == len(values):
        return ignored_column(values.name, "every value is missing")
    if reading.kind == "categorical":
        counts = word_counts(values)
        found = categories_of(values.name, counts, len(values), options)
        return (
            found
            if kind
            else found._replace(notes=words_among_numbers(values.name, counts) + found.notes)
        )
    if reading.kind == "date":
        return _fit_date(values, options, reading, rows)
    column = NumericColumn(name=values.name, boolean=reading.kind == "boolean", form=reading.form)
    v = raw_numbers(column, values, rows)
    if column.boolean:
        return _usable(column, v, fit_boolean, options)
    found = _usable(column, v, fit_numeric, options)
    ends = ExtremeValues()
    if found.numeric:
        ends.add(v[np.isfinite(v)])
    return found._replace(notes=found.notes + ends.notes(values.name))


def words_among_numbers(name: str, counts: pl.DataFrame) -> tuple[str, ...]:
    """Return a note on categories most of which are numbers but for some words or leading zeros."""
    words = counts.get_column("text").sort()
    codes = words.filter(words.str.contains(LEADING_ZERO))
    if len(codes):
        return (
            f"Column '{name}' is read as categories: {shown(codes[0])} begins with a zero"
            f" (--numeric '{name}' reads it as numbers).",
        )
    others = words.filter(plain_numbers(words).is_null())
    if in_no_form(words):
        return (
            f"Column '{name}' is read as categories: its values, like {shown(others[0])} and"
            f" {shown(others[-1])}, are numbers or dates without a common known format"
            " (--decimal and --date-format set one).",
        )
    if not len(others) or len(words) <= _FEW_WORDS or 2 * len(others) > len(words):
        return ()
    return (
        f"Column '{name}' holds numbers, but also text like {shown(others[0])}: it is read as"
        " categories (--na-values sets words that count as missing).",
    )


def in_no_form(words: pl.Series) -> bool:
    """Return True if nearly all of many words are digits and marks, but not plain numbers."""
    marked = words.str.contains(_MARKED) & plain_numbers(words).is_null()
    return (
        len(words) >= _SEVERAL_WORDS
        and int(words.str.contains(_MARKED).sum()) >= (0.9 * len(words))
        and bool(marked.any())
    )


def ignored_column(name: str, why: str) -> FittedColumn:
    """Return no features and a note on why."""
    return FittedColumn(notes=(f"Column '{name}' is ignored: {why}.",))


def ignored_identifier(name: str) -> FittedColumn:
    """Return no features and a note that the column numbers the rows."""
    called = f"Column '{name}'" if name else "The column without a name"
    return FittedColumn(
        notes=(
            f"{called} is ignored: it numbers the rows, which does not generalize to new ones"
            f" (--numeric '{name}' keeps it).",
        )
    )


def _usable(
    column: NumericColumn, v: np.ndarray, fit: ScalingFit, options: ColumnOptions
) -> FittedColumn:
    """Fit a column to its finite values, unless these are constant or none."""
    finite = np.isfinite(v)
    n_missing = len(v) - int(np.count_nonzero(finite))
    values = v[finite] if n_missing else v
    low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
    useless = find_useless(column, n_missing, low, high)
    notes = infinite(column.name, int(np.count_nonzero(np.isinf(v)))) if n_missing else ()
    return useless or FittedColumn(
        (fit(replace(column, indicator=n_missing > 0), values, options),), notes=notes
    )


def infinite(name: str, count: int) -> tuple[str, ...]:
    """Return a note on infinite numbers among the training rows, if there are any."""
    if not count:
        return ()
    are = "number is" if count == 1 else "numbers are"
    return (f"Column '{name}': {count} {are} infinite and count{'s' * (count == 1)} as missing.",)


def find_useless(
    column: NumericColumn, n_missing: int, low: float, high: float
) -> FittedColumn | None:
    """Return a note if a column from low to high (NaN without values) is constant or missing."""
    if np.isnan(low):
        return ignored_column(column.name, "every value is missing")
    if not n_missing and low == high:
        value = str(bool(low)).lower() if column.boolean else f"{low:.6g}"
        return ignored_column(column.name, f"it is {value} in every training row")
    return None


def _fit_date(
    values: pl.Series, options: ColumnOptions, reading: Reading, rows: RowNumbers
) -> FittedColumn:
    """Encode dates as days since 1970 and the waves of year, week and day that vary."""
    whole = NumericColumn(name=values.name, part="days", form=reading.form)
    v = raw_numbers(whole, values, rows)
    found = _usable(whole, v, fit_numeric, options)
    if not found.numeric:
        return found
    v = v[np.isfinite(v)]
    waves = []
    for part in DATE_WAVES:
        if part.startswith("day_") and (v == np.floor(v)).all():
            continue
        wave = date_part(v, part)
        if wave.min() < wave.max():
            waves.append(replace(whole, scaling="none", part=part))
    return FittedColumn((*found.numeric, *waves))


def categories_of(
    name: str, counts: pl.DataFrame, n_rows: int, options: ColumnOptions
) -> FittedColumn:
    """Return categories sorted by text, from `word_counts` of n_rows; rare ones share a code."""
    n_missing = n_rows - int(counts.get_column("rows").sum())
    if not counts.height:
        return ignored_column(name, "every value is missing")
    kept = counts.filter(pl.col("rows") >= options.rare).head(options.max_categories)
    categories = kept.get_column("text").sort().to_list()
    pooled = n_rows - n_missing - int(kept.get_column("rows").sum())
    if counts.height == 1 and not n_missing:
        return ignored_column(name, f"it is {shown(counts['text'][0])} in every training row")
    if not categories:
        most = int(counts["rows"].to_numpy().max())
        named = most == 1 and not in_no_form(counts.get_column("text"))
        identifier = "; it looks like an identifier" if named else ""
        return ignored_column(
            name,
            f"none of its {counts.height} categories occurs in {options.rare} or more training"
            f" rows, the most frequent one in {most}{identifier} (--rare {most} keeps categories"
            f" with {most} row{'s' * (most != 1)})",
        )
    rare = len(categories) + 1 if pooled else 0
    missing = len(categories) + bool(pooled) + 1 if n_missing else 0
    n_codes = len(categories) + bool(pooled) + bool(n_missing)
    width = 0 if n_codes <= options.one_hot_up_to else embedding_width(n_codes)
    column = CategoricalColumn(
        name=name,
        categories=tuple(categories),
        rare=rare,
        missing=missing,
        n_codes=n_codes,
        width=width,
    )
    notes: tuple[str, ...] = ()
    if pooled:
        few = counts.height - len(categories)
        verb = "is rare and shares" if few == 1 else "are rare and share"
        rows = f"{pooled} training row{'s' * (pooled != 1)}"
        notes = (
            f"Column '{name}': {few} of {counts.height} categories {verb} the code of unknown"
            f" categories ({rows}).",
        )
    if same := alike(counts.get_column("text").sort()):
        what = "differ only in case or spaces around them, and are different categories"
        notes = (*notes, f"Column '{name}': {same} {what}.")
    return FittedColumn(categorical=column, notes=notes)
