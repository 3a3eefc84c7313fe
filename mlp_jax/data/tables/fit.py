"""Learn from the training rows how each column becomes features.

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
    """What became of one column: features, or the reason why there are none."""

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
    """The encoding of the columns of training rows that are not `targets`, and notes for the user.

    rows: which rows of the frame are training rows, as booleans (N,); None for all. ignored:
    columns that are there for something else. Raises InputError where no column is of use.
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
    """The encoding of columns that were fitted one by one; InputError where none is of use."""
    numeric = tuple(column for one in found.values() for column in one.numeric)
    categorical = tuple(one.categorical for one in found.values() if one.categorical is not None)
    if not numeric and not categorical:
        raise InputError(
            "No column is of use as a feature."
            + "".join(f" {note}" for one in found.values() for note in one.notes[-1:])
        )
    unused = [n for n, one in found.items() if not one.numeric and one.categorical is None]
    return TableEncoding(
        numeric, categorical, (*ignored, *unused), na_values=options.text.na_values
    )


def check_kinds(kinds: Mapping[str, str], columns: Sequence[str]) -> dict[str, Kind]:
    """The kinds, checked; InputError for a kind that is none, or of a column that is not there."""
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
    """What becomes of one column of training rows.

    kind: what the user says it is. reading: what it is, found from all rows. rows: what messages
    call the rows.
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
    column = NumericColumn(values.name, boolean=reading.kind == "boolean", form=reading.form)
    v = raw_numbers(column, values, rows)
    if column.boolean:
        return _usable(column, v, fit_boolean, options)
    found = _usable(column, v, fit_numeric, options)
    ends = ExtremeValues()
    if found.numeric:
        ends.add(v[np.isfinite(v)])
    return found._replace(notes=found.notes + ends.notes(values.name))


def words_among_numbers(name: str, counts: pl.DataFrame) -> tuple[str, ...]:
    """A note on categories most of which are numbers: words spoil them, or leading zeros."""
    words = counts.get_column("text").sort()
    codes = words.filter(words.str.contains(LEADING_ZERO))
    if len(codes):
        return (
            f"Column '{name}' is taken for categories: {shown(codes[0])} begins with a zero"
            f" (--numeric '{name}' takes it for numbers).",
        )
    others = words.filter(plain_numbers(words).is_null())
    if in_no_form(words):
        return (
            f"Column '{name}' is taken for categories: its values, like {shown(others[0])} and"
            f" {shown(others[-1])}, are numbers or dates in no one form that is known"
            " (--decimal and --date-format name a form).",
        )
    if not len(others) or len(words) <= _FEW_WORDS or 2 * len(others) > len(words):
        return ()
    return (
        f"Column '{name}' holds numbers, but also text like {shown(others[0])}: it is taken"
        " for categories (--na-values names words that count as missing).",
    )


def in_no_form(words: pl.Series) -> bool:
    """Whether nearly all of many words are made of digits and marks, but are no plain numbers."""
    marked = words.str.contains(_MARKED) & plain_numbers(words).is_null()
    return (
        len(words) >= _SEVERAL_WORDS
        and int(words.str.contains(_MARKED).sum()) >= (0.9 * len(words))
        and bool(marked.any())
    )


def ignored_column(name: str, why: str) -> FittedColumn:
    """A column of no use, and the note that says why."""
    return FittedColumn(notes=(f"Column '{name}' is ignored: {why}.",))


def ignored_identifier(name: str) -> FittedColumn:
    """A column that numbers the rows."""
    called = f"Column '{name}'" if name else "The column without a name"
    return FittedColumn(
        notes=(
            f"{called} is ignored: it numbers the rows, and so says nothing of new ones"
            f" (--numeric '{name}' keeps it).",
        )
    )


def _usable(
    column: NumericColumn, v: np.ndarray, fit: ScalingFit, options: ColumnOptions
) -> FittedColumn:
    """The column fitted to its finite values, unless they are constant or none."""
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
    """A note on infinite numbers among the training rows, if there are any."""
    if not count:
        return ()
    are = "number is" if count == 1 else "numbers are"
    return (f"Column '{name}': {count} {are} infinite and count{'s' * (count == 1)} as missing.",)


def find_useless(
    column: NumericColumn, n_missing: int, low: float, high: float
) -> FittedColumn | None:
    """Why a column from low to high (NaN where it has no value) carries nothing, if so."""
    if np.isnan(low):
        return ignored_column(column.name, "every value is missing")
    if not n_missing and low == high:
        said = str(bool(low)).lower() if column.boolean else f"{low:.6g}"
        return ignored_column(column.name, f"it is {said} in every training row")
    return None


def _fit_date(
    values: pl.Series, options: ColumnOptions, reading: Reading, rows: RowNumbers
) -> FittedColumn:
    """Days since 1970 as a number, and the waves of year, week and day that vary."""
    whole = NumericColumn(values.name, part="days", form=reading.form)
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
    """Categories in the order of their text, by `word_counts` of n_rows; the rare ones pooled."""
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
            f"none of its {counts.height} categories is in {options.rare} training rows or more,"
            f" but at most in {most}{identifier} (--rare {most} keeps categories of {most}"
            f" row{'s' * (most != 1)})",
        )
    rare = len(categories) + 1 if pooled else 0
    missing = len(categories) + bool(pooled) + 1 if n_missing else 0
    n_codes = len(categories) + bool(pooled) + bool(n_missing)
    width = 0 if n_codes <= options.one_hot_up_to else embedding_width(n_codes)
    column = CategoricalColumn(name, tuple(categories), rare, missing, n_codes, width)
    notes: tuple[str, ...] = ()
    if pooled:
        few = counts.height - len(categories)
        verb = "is rare and shares" if few == 1 else "are rare and share"
        rows = f"{pooled} training row{'s' * (pooled != 1)}"
        notes = (
            f"Column '{name}': {few} of {counts.height} categories {verb} the code of what is not"
            f" known ({rows}).",
        )
    if same := alike(counts.get_column("text").sort()):
        what = "differ only in case or spaces around them, and are different categories"
        notes = (*notes, f"Column '{name}': {same} {what}.")
    return FittedColumn(categorical=column, notes=notes)
