"""Messages on the columns of a table: words that count as missing, unseen categories."""

import re
from collections.abc import Sequence

import polars as pl

from mlp_jax.data.encoding import CategoricalColumn
from mlp_jax.data.tables.columns import shown


def without_options(note: str) -> str:
    """Return a note without command-line options, for users of the library."""
    return re.sub(r" \(--.*?\)(?=[.;]|$)", "", note)


def gone(values: pl.Series, without: pl.Series) -> pl.Series:
    """Return the words that count as missing, from a column before and after they became null."""
    if without.null_count() == values.null_count():
        return pl.Series(values.name, [], pl.String)
    words = values.filter(without.is_null() & values.is_not_null()).cast(pl.String)
    return words.filter(words.str.strip_chars() != "")


def alike(words: pl.Series) -> str:
    """List some words that differ only in case and surrounding spaces; "" if there are none."""
    folded = words.str.strip_chars().str.to_lowercase()
    twice = words.filter(folded.is_duplicated())
    order = folded.filter(folded.is_duplicated()).arg_sort()
    return ", ".join(shown(word) for word in twice.gather(order)[:6])


class MissingWords:
    """Collector of the words that count as missing, by column."""

    def __init__(self, na_values: Sequence[str]) -> None:
        self._na_values = na_values
        self._found: list[tuple[str, str, int]] = []  # column, words, rows

    def add(self, values: pl.Series, without: pl.Series) -> None:
        """Add a column, before and after the missing words became null."""
        missing = gone(values, without)
        if len(missing):
            words = ", ".join(shown(word) for word in missing.unique().sort()[:5])
            self._found.append((values.name, words, len(missing)))

    def notes(self) -> tuple[str, ...]:
        """Return one note on all of them, or none."""
        if not self._found:
            return ()
        parts = [
            f"{words} in '{name}' ({rows} row{'s' * (rows != 1)})"
            for name, words, rows in self._found[:8]
        ]
        more = len(self._found) - 8
        others = f" and in {more} more columns" if more > 0 else ""
        return (f"Counted as missing: {'; '.join(parts)}{others} (--na-values sets other words).",)


class UnseenCategories:
    """Collector of categories without a code, filled while rows are encoded."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bool, int, str]] = {}  # pooled, rows, an example

    def add(self, column: CategoricalColumn, words: pl.Series) -> None:
        """Add the words of rows (N,) that are no category of a column."""
        if len(words):
            _, rows, example = self._found.get(column.name, (False, 0, str(words[0])))
            self._found[column.name] = column.rare > 0, rows + len(words), example

    def notes(self) -> tuple[str, ...]:
        """Return one note per column."""
        return tuple(
            f"Column '{name}': {rows} row{'s have' if rows != 1 else ' has'} a category"
            f" that was {'rare or absent' if pooled else 'absent'} in training, such as"
            f" {shown(example)}; such categories"
            f" {'share one code' if pooled else 'are encoded as zeros'}."
            for name, (pooled, rows, example) in self._found.items()
        )
