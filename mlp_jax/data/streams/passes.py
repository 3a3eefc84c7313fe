"""Statistics of a column from one pass over a table: enough to fit it as `tables/fit.py` does.

Numbers leave their moments, words how often each occurs. Letters: N rows.
"""

import re
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from mlp_jax.data.encoding import DatePart, NumericColumn
from mlp_jax.data.streams.moments import Moments
from mlp_jax.data.table import Kind
from mlp_jax.data.tables.columns import RowNumbers, is_text, numbers
from mlp_jax.data.tables.encode import date_part, raw_numbers
from mlp_jax.data.tables.fit import (
    DATE_WAVES,
    FittedColumn,
    categories_of,
    find_useless,
    ignored_identifier,
    infinite,
    words_among_numbers,
)
from mlp_jax.data.tables.identifiers import LEAST_ROWS, is_identifier_name
from mlp_jax.data.tables.number_scaling import boolean, standard
from mlp_jax.data.tables.options import ColumnOptions, TextOptions
from mlp_jax.data.tables.reading import Reading, read_words, typed_reading, word_counts
from mlp_jax.data.tables.sentinels import ExtremeValues
from mlp_jax.errors import InputError

MOST_WORDS = 1_000_000
_EXACT = 2.0**53  # whole numbers from here on are not told apart


@runtime_checkable
class ColumnPass(Protocol):
    """Pass over the values of a column, block by block, that derives its encoding."""

    def add(self, values: pl.Series, first_row: RowNumbers) -> None:
        """The values of the next block; first_row: of their first, or those of all."""

    def found(self, options: ColumnOptions) -> FittedColumn:
        """The features of the column."""


def column_pass(name: str, dtype: Any, kind: Kind | None, text: TextOptions) -> ColumnPass:
    """The pass for a column of this type; `kind` where it is known. text: how it is written."""
    if kind == "categorical" or is_text(dtype):
        return _WordsPass(name, kind, text, isinstance(dtype, pl.Enum))
    found, form, _ = typed_reading(dtype, kind, text)
    if found == "date":
        return _DatePass(NumericColumn(name=name, part="days"))
    watched = kind is None and dtype.is_integer()
    return _NumberPass(NumericColumn(name=name, boolean=found == "boolean", form=form), watched)


class NumberStatistics:
    """Moments of the finite numbers of a column, and how many others there are."""

    def __init__(self) -> None:
        self.moments = Moments(1)
        self.n_missing = 0
        self.n_infinite = 0

    def add(self, v: np.ndarray, times: np.ndarray | None = None) -> None:
        """Take in numbers (N,), each `times` times."""
        finite = np.isfinite(v)
        count = np.ones(len(v), np.int64) if times is None else times
        self.n_missing += int(count[~finite].sum())
        self.n_infinite += int(count[np.isinf(v)].sum())
        self.moments.add(v[finite, None], None if times is None else times[finite])

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest; NaN where there is no number."""
        if not self.moments.n:
            return np.nan, np.nan
        return float(self.moments.low[0]), float(self.moments.high[0])

    def found(self, column: NumericColumn) -> FittedColumn:
        """The column fitted to these numbers."""
        low, high = self.range
        useless = find_useless(column, self.n_missing, low, high)
        if useless:
            return useless
        with_missing = replace(column, indicator=self.n_missing > 0)
        if column.boolean:
            return FittedColumn((boolean(with_missing),))
        mean, deviation = float(self.moments.mean[0]), float(self.moments.deviation[0])
        fitted = standard(with_missing, mean, deviation, low, high)
        return FittedColumn((fitted,), notes=infinite(column.name, self.n_infinite))


class _NumberPass:
    """A column of numbers or of booleans.

    Whether it only numbers the rows is watched where nobody says what it is.
    """

    def __init__(self, column: NumericColumn, watched: bool = False) -> None:
        self._column = column
        self._numbers = NumberStatistics()
        self._ends = ExtremeValues()
        self._counter = _Counter(column.name) if watched and not column.boolean else None

    def add(
        self, values: pl.Series, first_row: RowNumbers, times: np.ndarray | None = None
    ) -> None:
        v = raw_numbers(self._column, values, first_row)
        if self._counter is not None:
            self._counter.add(v, first_row)
        self._numbers.add(v, times)
        if not self._column.boolean:
            finite = np.isfinite(v)
            self._ends.add(v[finite], None if times is None else times[finite])

    def found(self, options: ColumnOptions) -> FittedColumn:
        if self._counter is not None and self._counter.counts_rows:
            return ignored_identifier(self._column.name)
        found = self._numbers.found(self._column)
        notes = self._ends.notes(self._column.name) if found.numeric else ()
        return found._replace(notes=found.notes + notes)


class _Counter:
    """Test for numbers that increase by 1 per row, or by more in a column named as an identifier.

    One pass can tell no other identifiers from numbers.
    """

    def __init__(self, name: str) -> None:
        self._named = is_identifier_name(name)
        self._holds = True
        self._last: float | None = None
        self._offset: float | None = None
        self._n = 0

    @property
    def counts_rows(self) -> bool:
        """True if they do so far."""
        return self._holds and self._n >= LEAST_ROWS

    def add(self, v: np.ndarray, first_row: RowNumbers) -> None:
        """The next numbers, of these rows."""
        if not self._holds or not len(v):
            return
        rows = first_row if isinstance(first_row, np.ndarray) else first_row + np.arange(len(v))
        self._n += len(v)
        if not np.isfinite(v).all() or (v != np.floor(v)).any() or np.abs(v).max() >= _EXACT:
            self._holds = False
        elif self._named:
            chain = v if self._last is None else np.concatenate([[self._last], v])
            self._holds, self._last = bool((np.diff(chain) > 0).all()), float(v[-1])
        else:
            self._offset = float(v[0] - rows[0]) if self._offset is None else self._offset
            self._holds = bool((v - rows == self._offset).all())


class _DatePass:
    """A column of dates: its days, and the range of each wave of year, week and day."""

    def __init__(self, column: NumericColumn) -> None:
        self._column = column
        self._days = NumberStatistics()
        self._whole = True
        self._waves: dict[DatePart, NumberStatistics] = {
            part: NumberStatistics() for part in DATE_WAVES
        }

    def add(
        self, values: pl.Series, first_row: RowNumbers, times: np.ndarray | None = None
    ) -> None:
        v = raw_numbers(self._column, values, first_row)
        self._days.add(v, times)
        v = v[np.isfinite(v)]
        self._whole = self._whole and bool((v == np.floor(v)).all())
        for part, wave in self._waves.items():
            wave.add(date_part(v, part))

    def found(self, options: ColumnOptions) -> FittedColumn:
        days = self._days.found(self._column)
        if not days.numeric:
            return days
        waves = [
            replace(self._column, scaling="none", part=part)
            for part, wave in self._waves.items()
            if not (part.startswith("day_") and self._whole) and wave.range[0] < wave.range[1]
        ]
        return FittedColumn((*days.numeric, *waves))


class _WordsPass:
    """A column of words, or of numbers that are categories: how often each occurs.

    Words that all are plain numbers need not be counted, so that there may be any number of them;
    of numbers and dates of another form the first MOST_WORDS words say which form it is.
    """

    def __init__(self, name: str, kind: Kind | None, text: TextOptions, words: bool) -> None:
        self._name, self._text = name, text
        self._said = kind
        self._kind: Kind | None = "categorical" if words else kind
        self._counts: pl.DataFrame | None = None
        self._n_rows = 0
        plain = self._kind in (None, "numeric")
        self._numbers: NumberStatistics | None = NumberStatistics() if plain else None
        self._known: tuple[Reading, ColumnPass] | None = None  # once there are too many words

    def add(self, values: pl.Series, first_row: RowNumbers) -> None:
        self._n_rows += len(values)
        if self._known is not None:
            return self._known[1].add(values, first_row)
        if self._numbers is not None:
            try:
                self._numbers.add(numbers(values, first_row))
            except InputError:
                self._numbers = None
        if self._counts is None or self._counts.height <= MOST_WORDS:
            found = word_counts(values)
            if self._counts is not None:
                found = pl.concat([self._counts, found])
                found = found.group_by("text").agg(pl.col("rows").sum())
            self._counts = found
        if self._counts.height > MOST_WORDS and self._numbers is None:
            self._known = self._read()
            if self._known is None:
                raise InputError(
                    f"Column '{self._name}' has more than {MOST_WORDS} different words in the first"
                    f" {self._n_rows} rows: --drop '{self._name}' leaves it out."
                )

    def found(self, options: ColumnOptions) -> FittedColumn:
        assert self._counts is not None
        if self._counts.height > MOST_WORDS and self._numbers is not None:
            return self._numbers.found(NumericColumn(self._name))
        known = self._known or self._read()
        if known is None:
            found = categories_of(self._name, self._counts, self._n_rows, options)
            notes = () if self._said else words_among_numbers(self._name, self._counts)
            return found._replace(notes=notes + found.notes)
        reading, inner = known
        fitted = inner.found(options)
        return fitted._replace(notes=reading.notes + fitted.notes)

    def _read(self) -> tuple[Reading, ColumnPass] | None:
        """Return the form of the text so far, and its pass; None for categories."""
        assert self._counts is not None
        self._counts = self._counts.sort(["rows", "text"], descending=[True, False])
        if self._kind == "categorical" or not self._counts.height:
            return None
        reading = read_words(self._name, self._counts, self._kind, self._text)
        if reading.kind == "categorical":
            return None
        column = NumericColumn(
            name=self._name,
            boolean=reading.kind == "boolean",
            part="days" if reading.kind == "date" else "",
            form=reading.form,
        )
        inner = _DatePass(column) if reading.kind == "date" else _NumberPass(column)
        times = self._counts.get_column("rows").cast(pl.Int64).to_numpy()
        try:
            inner.add(self._counts.get_column("text").alias(self._name), 0, times)
        except InputError as error:  # the words are counted: their rows are not known
            raise InputError(re.sub(r" in row \d+", "", str(error))) from None
        absent = self._n_rows - int(times.sum())
        inner.add(pl.Series(self._name, [None], pl.String), 0, np.array([absent]))
        return reading, inner
