"""Choice of a table's task from its target: labels, several 0/1 labels, or numbers.

Letters: N rows, C distinct values.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.encoding import TextForm
from mlp_jax.data.tables.columns import (
    FALSE_WORDS,
    TRUE_WORDS,
    RowNumbers,
    distinct_text,
    is_date,
    is_missing,
    is_text,
    numbers,
    shown,
)
from mlp_jax.data.tables.forms import LEADING_ZERO, PLAIN, number_form, plain_numbers
from mlp_jax.data.tables.notes import alike
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.reading import reading_of
from mlp_jax.data.task import NAMED, decide
from mlp_jax.errors import InputError, UnknownNameError

_FEW_WORDS = 50
_EXACT = 2.0**53


class FoundTask(NamedTuple):
    """A task, notes for the user, and the form of each column."""

    task: str
    notes: tuple[str, ...] = ()
    forms: tuple[TextForm, ...] = ()


class TargetCounts(NamedTuple):
    """Distinct values of a target column that are not missing.

    values: the values (C,). rows: number of rows of each. first: number of the first row of each.
    """

    values: pl.Series
    rows: np.ndarray
    first: np.ndarray

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.values.name


def target_counts(column: pl.Series, first_row: RowNumbers = 0) -> TargetCounts:
    """Count the distinct values of a column; messages number its rows from `first_row`."""
    numbers_of = first_row + np.arange(len(column)) if isinstance(first_row, int) else first_row
    frame = pl.DataFrame({"value": column, "row": numbers_of}).filter(~is_missing(column))
    counts = (
        frame.group_by("value")
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("row").min())
        .sort("row")
    )
    values = counts["value"].alias(column.name)
    return TargetCounts(values, counts["rows"].to_numpy(), counts["row"].to_numpy())


def find_task(
    columns: Sequence[TargetCounts],
    task: str,
    options: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> FoundTask:
    """Choose the task from `Table.task` and the values of the target.

    Raises InputError for columns that do not fit the task, and words among numbers.
    """
    if task not in (*TASKS, "multilabel"):
        raise UnknownNameError("task", task, TASKS)
    if task == "regression":
        return _numbers_task(columns, "as --task says", options)
    if len(columns) > 1:
        return _several(columns, task, options)
    column = columns[0]
    if task in ("classification", "multilabel"):
        return _labels_task(column, "as --task says")
    dtype = column.values.dtype
    if dtype.is_numeric() or isinstance(dtype, pl.Duration | pl.Time):
        return _by_numbers(column, numbers(column.values), PLAIN, options)
    if is_date(dtype):
        raise InputError(
            f"Target '{column.name}' holds dates: predict a number derived from them, such as days"
            " since a fixed date, or set the task to classification if each is a label."
        )
    if is_text(column.values.dtype):
        return _by_text(column, options)
    if isinstance(column.values.dtype, pl.Boolean | pl.Null):
        return _labels_task(column, "since it is true or false")
    return _labels_task(column, f"since it holds {column.values.dtype}")


def _several(columns: Sequence[TargetCounts], task: str, options: TextOptions) -> FoundTask:
    """Choose multilabel if all columns are 0 and 1, else regression."""
    names = ", ".join(f"'{column.name}'" for column in columns)
    odd = next((column for column in columns if not _is_binary(column.values)), None)
    if odd is None:
        note = f"Targets {names}: multi-label classification, since each holds 0 and 1"
        return FoundTask("multilabel", (f"{note} (--task regression predicts numbers).",))
    if task in ("classification", "multilabel"):
        raise InputError(
            "Several targets for classification must each hold only 0 and 1, but"
            f" '{odd.name}' holds other values."
        )
    return _numbers_task(columns, "since there are several columns", options)


def _labels_task(column: TargetCounts, why: str) -> FoundTask:
    n = column.values.n_unique()
    note = f"Target '{column.name}': classification with {n} classes, {why}."
    return FoundTask("classification", (note, *_alike(column)))


def _numbers_task(columns: Sequence[TargetCounts], why: str, options: TextOptions) -> FoundTask:
    forms = tuple(_form_of(column, options) or PLAIN for column in columns)
    names = ", ".join(f"'{column.name}'" for column in columns)
    which = f"Target {names}" if len(columns) == 1 else f"Targets {names}"
    notes = [f"{which}: regression, {why}."]
    for column, form in zip(columns, forms, strict=True):
        if form != PLAIN:
            words = column.values.cast(pl.String)
            odd = words.filter(plain_numbers(words).is_null())
            if len(odd):
                example = f"{shown(odd[0])}: {reading_of(form)}"
                notes.append(f"Target '{column.name}' holds numbers like {example}.")
    return FoundTask("regression", tuple(notes), forms)


def _by_numbers(
    column: TargetCounts, values: np.ndarray, form: TextForm, options: TextOptions
) -> FoundTask:
    """Choose between labels and numbers, by the rule in `task.py`."""
    finite = np.isfinite(values)
    if finite.any() and np.abs(values[finite]).max() >= _EXACT:  # not distinct in float64
        values = np.where(finite, 2.0 * np.arange(len(values)), values)
    distinct, index = np.unique(values[finite], return_inverse=True)
    rows = np.bincount(index, weights=column.rows[finite]).astype(np.int64)
    found = decide(column.name, distinct, rows)
    if found.is_class or (len(distinct) == 1 and not column.values.dtype.is_float()):
        other = " (--task regression predicts numbers)"
        return _labels_task(column, f"since {found.reason}{other}")
    other = ""
    if len(distinct) <= NAMED * 10 and (distinct == np.floor(distinct)).all():
        other = " (--task classification reads them as classes)"
    return _numbers_task([column], f"since {found.reason}{other}", options)


def _by_text(column: TargetCounts, options: TextOptions) -> FoundTask:
    """Choose between labels and numbers written as text."""
    words = column.values.cast(pl.String)
    if words.str.contains(LEADING_ZERO).any():
        why = "since some values begin with a zero, as codes do"
        return _labels_task(column, why)
    form = _form_of(column, options)
    if form is not None:
        parsed = numbers(column.values, 0, form)
        return _by_numbers(column, parsed, form, options)
    n_words = int(plain_numbers(words).is_null().sum())
    if len(words) <= _FEW_WORDS or 2 * n_words > len(words):
        return _labels_task(column, "since it holds text")
    place = plain_numbers(words).is_null().arg_max() or 0
    odd = shown(words[place])
    raise InputError(
        f"Target '{column.name}' holds numbers, but {odd} in row {column.first[place]} is text:"
        f" --na-values default {odd} counts it as missing, --task classification reads all as"
        " labels."
    )


def _form_of(column: TargetCounts, options: TextOptions) -> TextForm | None:
    """Return the number format of a target; None if some words are not numbers."""
    if not is_text(column.values.dtype):
        return PLAIN
    words = column.values.cast(pl.String)
    found = number_form(words, column.rows, options.decimal, options.likely)
    if found is None or found.stray.any():
        return None
    return found.form


def _alike(column: TargetCounts) -> tuple[str, ...]:
    """Return a note on labels that differ only in case."""
    if not is_text(column.values.dtype):
        return ()
    words = alike(distinct_text(column.values))
    if not words:
        return ()
    return (f"Target '{column.name}': {words} differ only in case, and are different classes.",)


def _is_binary(column: pl.Series) -> bool:
    if isinstance(column.dtype, pl.Boolean):
        return True
    words = distinct_text(column)
    return len(words) <= 2 and bool(words.str.to_lowercase().is_in(TRUE_WORDS + FALSE_WORDS).all())
