"""What the user is told about the columns of a table: words that count as missing, categories that
the training did not have.
"""

import re
from collections.abc import Sequence

import polars as pl

from mlp_jax.data.encoding import CategoricalColumn
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


def alike(words: pl.Series) -> str:
    """Some of the words that differ only in case and spaces around them; "" where none do."""
    folded = words.str.strip_chars().str.to_lowercase()
    twice = words.filter(folded.is_duplicated())
    order = folded.filter(folded.is_duplicated()).arg_sort()
    return ", ".join(shown(word) for word in twice.gather(order)[:6])


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


class UnseenCategories:
    """Categories that a model has no code of their own for, gathered as rows are encoded."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bool, int, str]] = {}  # pooled, rows, an example

    def add(self, column: CategoricalColumn, words: pl.Series) -> None:
        """Take in the words of rows (N,) that are no category of a column."""
        if len(words):
            _, rows, example = self._found.get(column.name, (False, 0, str(words[0])))
            self._found[column.name] = column.rare > 0, rows + len(words), example

    def notes(self) -> tuple[str, ...]:
        """One sentence a column."""
        return tuple(
            f"Column '{name}': {rows} row{'s' * (rows != 1)} with categories that"
            f" {'training had rarely or not' if pooled else 'training did not have'}, like"
            f" {shown(example)}: {'they share one code' if pooled else 'they count as none'}."
            for name, (pooled, rows, example) in self._found.items()
        )
