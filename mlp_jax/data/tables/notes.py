"""What a run tells the user about the columns of a table: words that count as missing."""

import re
from collections.abc import Sequence

import polars as pl

from mlp_jax.data.tables.columns import shown


def without_options(note: str) -> str:
    """A note without what options of the command line it names, for those who use no command."""
    return re.sub(r" \(--.*?\)(?=[.;]|$)", "", note)


def gone(values: pl.Series, without: pl.Series) -> pl.Series:
    """The words of rows that count as missing: a column as it came, and with null for them."""
    if without.null_count() == values.null_count():
        return pl.Series(values.name, [], pl.String)
    words = values.filter(without.is_null() & values.is_not_null()).cast(pl.String)
    return words.filter(words.str.strip_chars() != "")


class MissingWords:
    """Which words of which columns count as missing, gathered column by column."""

    def __init__(self, na_values: Sequence[str]) -> None:
        self._na_values = na_values
        self._found: list[tuple[str, str, int]] = []  # column, words, rows

    def add(self, values: pl.Series, without: pl.Series) -> None:
        """Take in a column as it came, and with null where a word counts as missing."""
        missing = gone(values, without)
        if len(missing):
            words = ", ".join(shown(word) for word in missing.unique().sort()[:5])
            self._found.append((values.name, words, len(missing)))

    def notes(self) -> tuple[str, ...]:
        """One sentence on all of them, or none."""
        if not self._found:
            return ()
        parts = [
            f"{words} in '{name}' ({rows} row{'s' * (rows != 1)})"
            for name, words, rows in self._found[:8]
        ]
        more = len(self._found) - 8
        others = f" and in {more} more columns" if more > 0 else ""
        return (
            f"Counted as missing: {'; '.join(parts)}{others} (--na-values names the words to count"
            " instead).",
        )
