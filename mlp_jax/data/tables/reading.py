"""Inference of a column's kind and text format from its values.

Letters: W distinct words.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.encoding import TextForm
from mlp_jax.data.table import Kind
from mlp_jax.data.tables.columns import as_text, is_date, is_text, shown
from mlp_jax.data.tables.forms import (
    PLAIN,
    FoundForm,
    date_form,
    number_form,
    plain_numbers,
)
from mlp_jax.data.tables.options import TextOptions

_WORD_PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
_SPELLINGS = 6  # yes, Yes, YES and the same of no


class Reading(NamedTuple):
    """Kind of a column, format of its text, and notes for the user."""

    kind: Kind
    form: TextForm = PLAIN
    notes: tuple[str, ...] = ()


def read_column(values: pl.Series, kind: Kind | None, options: TextOptions) -> Reading:
    """Infer the kind of a column and the format of its text.

    values: the column, missing values as null. kind, options: as declared by the user.
    """
    if not is_text(values.dtype):
        return typed_reading(values.dtype, kind, options)
    if kind == "categorical" or (kind is None and isinstance(values.dtype, pl.Enum)):
        return Reading("categorical")  # declared by the user or the frame
    return read_words(values.name, word_counts(values), kind, options)


def read_words(name: str, counts: pl.DataFrame, kind: Kind | None, options: TextOptions) -> Reading:
    """Apply `read_column` to text, given its `word_counts`."""
    words = counts.get_column("text").str.strip_chars()
    rows = counts.get_column("rows").to_numpy()
    if kind == "boolean" or (kind is None and _is_boolean(words)):
        return Reading("boolean")
    if not len(words):
        return Reading(kind or "categorical")
    if kind != "date" and (found := number_form(words, rows, options.decimal, options.likely)):
        return Reading("numeric", *_described(name, words, rows, found, "numbers"))
    if kind != "numeric" and (found := date_form(words, rows, options.date_format)):
        return Reading("date", *_described(name, words, rows, found, "dates"))
    return Reading(kind or "categorical")


def typed_reading(dtype: Any, kind: Kind | None, options: TextOptions) -> Reading:
    """Return the kind of a column that is not text, with its file's form for rows that are."""
    found = kind or _kind_of_type(dtype)
    commas = found == "numeric" and "," in (options.decimal, options.likely)
    return Reading(found, TextForm(decimal=",") if commas else PLAIN)


def _kind_of_type(dtype: Any) -> Kind:
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    return "date" if is_date(dtype) else "numeric"


def _is_boolean(words: pl.Series) -> bool:
    folded = set(words.head(_SPELLINGS + 1).str.to_lowercase())
    return len(words) <= _SPELLINGS and any(folded and folded <= pair for pair in _WORD_PAIRS)


def _described(
    name: str, words: pl.Series, rows: np.ndarray, found: FoundForm, what: str
) -> tuple[TextForm, tuple[str, ...]]:
    """Return the form with the words that count as missing, and notes on both."""
    form, notes = found.form, []
    odd = words.filter(pl.Series(~found.stray) & plain_numbers(words).is_null())
    if form != PLAIN and len(odd):
        example = shown(odd[0])
        other = ""
        if found.other:
            option = "date-format" if form.date else "decimal"
            other = f" (--{option} '{found.other}' reads them otherwise)"
        notes.append(f"Column '{name}' holds {what} like {example}: {reading_of(form)}{other}.")
    if found.stray.any():
        gone = words.filter(pl.Series(found.stray))
        form = replace(form, missing=tuple(dict.fromkeys(gone.str.to_lowercase())))
        n = int(rows[found.stray].sum())
        notes.append(
            f"Column '{name}' holds {what}; {', '.join(shown(word) for word in gone)} in {n}"
            f" row{'s' * (n != 1)} counts as missing (--categorical reads the column as text)."
        )
    return form, tuple(notes)


def reading_of(form: TextForm) -> str:
    """Describe a form in words."""
    if form.date:
        return f"read as {form.date}"
    parts = [f"'{form.decimal}' is the decimal mark"]
    if form.thousands:
        parts.append(f"'{form.thousands}' groups digits")
    if form.symbol:
        parts.append(f"{form.symbol} is left out")
    return ", ".join(parts)


def word_counts(values: pl.Series) -> pl.DataFrame:
    """Count the rows of each distinct value as text, the most frequent first."""
    found = values.alias("text").value_counts(name="rows")
    text = found.with_columns(as_text(found.get_column("text"))).drop_nulls()
    return (
        text.group_by("text")
        .agg(pl.col("rows").sum())
        .sort(["rows", "text"], descending=[True, False])
    )
