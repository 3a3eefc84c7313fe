"""What one pass over a table gathers of a column: enough to fit it as `tables/fit.py` would.

Numbers leave their moments, words how often each occurs. Letters: N rows.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from mlp_jax.data.encoding import DatePart, NumericColumn
from mlp_jax.data.streams.moments import Moments
from mlp_jax.data.table import Kind
from mlp_jax.data.tables.columns import (
    RowNumbers,
    find_kind,
    is_text,
    numbers,
)
from mlp_jax.data.tables.encode import date_part, raw_numbers
from mlp_jax.data.tables.fit import (
    DATE_WAVES,
    Found,
    boolean,
    categories_of,
    find_useless,
    standard,
    word_counts,
    words_among_numbers,
)
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.errors import InputError

MOST_WORDS = 1_000_000


@runtime_checkable
class ColumnPass(Protocol):
    """Takes in the values of a column block by block, then says what becomes of it."""

    def add(self, values: pl.Series, first_row: RowNumbers) -> None:
        """The values of the next block; first_row: of their first, or those of all."""

    def found(self, options: ColumnOptions) -> Found:
        """The features of the column."""


def column_pass(name: str, dtype: Any, kind: Kind | None) -> ColumnPass:
    """The pass for a column of this type; `kind` where it is known."""
    if kind == "categorical" or (kind is None and is_text(dtype)):
        return _WordsPass(name, kind)
    found = kind or find_kind(pl.Series(name, [], dtype))
    return _DatePass(name) if found == "date" else _NumberPass(name, found == "boolean")


class Numbers:
    """Moments of the finite numbers of a column, and how many others there are."""

    def __init__(self) -> None:
        self.moments = Moments(1)
        self.n_missing = 0

    def add(self, v: np.ndarray, times: np.ndarray | None = None) -> None:
        """Take in numbers (N,), each `times` times."""
        finite = np.isfinite(v)
        count = np.ones(len(v), np.int64) if times is None else times
        self.n_missing += int(count[~finite].sum())
        self.moments.add(v[finite, None], None if times is None else times[finite])

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest; NaN where there is no number."""
        if not self.moments.n:
            return np.nan, np.nan
        return float(self.moments.low[0]), float(self.moments.high[0])

    def found(self, column: NumericColumn) -> Found:
        """The column fitted to these numbers."""
        low, high = self.range
        useless = find_useless(column, self.n_missing, low, high)
        if useless:
            return useless
        with_missing = _with_indicator(column, self.n_missing)
        if column.boolean:
            return Found((boolean(with_missing),))
        mean, deviation = float(self.moments.mean[0]), float(self.moments.deviation[0])
        return Found((standard(with_missing, mean, deviation, low, high),))


def _with_indicator(column: NumericColumn, n_missing: int) -> NumericColumn:
    return NumericColumn(
        column.name, indicator=n_missing > 0, boolean=column.boolean, part=column.part
    )


class _NumberPass:
    """A column of numbers or of booleans."""

    def __init__(self, name: str, is_boolean: bool) -> None:
        self._column = NumericColumn(name, boolean=is_boolean)
        self._numbers = Numbers()

    def add(
        self, values: pl.Series, first_row: RowNumbers, times: np.ndarray | None = None
    ) -> None:
        self._numbers.add(raw_numbers(self._column, values, first_row), times)

    def found(self, options: ColumnOptions) -> Found:
        return self._numbers.found(self._column)


class _DatePass:
    """A column of dates: its days, and the range of each wave of year, week and day."""

    def __init__(self, name: str) -> None:
        self._column = NumericColumn(name, part="days")
        self._days = Numbers()
        self._whole = True
        self._waves: dict[DatePart, Numbers] = {part: Numbers() for part in DATE_WAVES}

    def add(
        self, values: pl.Series, first_row: RowNumbers, times: np.ndarray | None = None
    ) -> None:
        v = raw_numbers(self._column, values, first_row)
        self._days.add(v, times)
        v = v[np.isfinite(v)]
        self._whole = self._whole and bool((v == np.floor(v)).all())
        for part, wave in self._waves.items():
            wave.add(date_part(v, part))

    def found(self, options: ColumnOptions) -> Found:
        days = self._days.found(self._column)
        if not days.numeric:
            return days
        waves = [
            NumericColumn(self._column.name, scaling="none", part=part)
            for part, wave in self._waves.items()
            if not (part.startswith("day_") and self._whole) and wave.range[0] < wave.range[1]
        ]
        return Found((*days.numeric, *waves))


class _WordsPass:
    """A column of words, or of numbers that are categories: how often each occurs.

    Words that all are numbers need not be counted, so that there may be any number of them.
    """

    def __init__(self, name: str, kind: Kind | None) -> None:
        self._name, self._kind = name, kind
        self._counts: pl.DataFrame | None = None
        self._n_rows = 0
        self._countable = True
        self._numbers: Numbers | None = Numbers() if kind is None else None

    def add(self, values: pl.Series, first_row: RowNumbers) -> None:
        self._n_rows += len(values)
        if self._numbers is not None:
            try:
                self._numbers.add(numbers(values, first_row))
            except InputError:
                self._numbers = None
        if self._countable:
            found = word_counts(values)
            if self._counts is not None:
                found = pl.concat([self._counts, found])
                found = found.group_by("text").agg(pl.col("rows").sum())
            self._counts = found
            self._countable = self._counts.height <= MOST_WORDS
        if not self._countable and self._numbers is None:
            raise InputError(
                f"Column '{self._name}' has more than {MOST_WORDS} different words in the first"
                f" {self._n_rows} rows (an identifier?): drop it."
            )

    def found(self, options: ColumnOptions) -> Found:
        assert self._counts is not None
        if not self._countable:
            assert self._numbers is not None
            return self._numbers.found(NumericColumn(self._name))
        counts = self._counts.sort(["rows", "text"], descending=[True, False])
        words = counts.get_column("text").alias(self._name)
        kind = self._kind or find_kind(words)
        if kind == "categorical" or not len(words):
            found = categories_of(self._name, counts, self._n_rows, options)
            notes = () if self._kind else words_among_numbers(words)
            return found._replace(notes=notes + found.notes)
        inner = (
            _DatePass(self._name) if kind == "date" else _NumberPass(self._name, kind == "boolean")
        )
        times = counts.get_column("rows").cast(pl.Int64).to_numpy()
        inner.add(words, 0, times)
        absent = self._n_rows - int(times.sum())
        inner.add(pl.Series(self._name, [None], pl.String), 0, np.array([absent]))
        return inner.found(options)
