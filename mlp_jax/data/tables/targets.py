"""What is predicted: labels, several 0/1 labels, or numbers, out of the columns of a table.

Letters: N rows, C classes or outputs. Rows count from 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.encoding import TargetEncoding
from mlp_jax.data.tables.columns import (
    FALSE_WORDS,
    MISSING_WORDS,
    TRUE_WORDS,
    RowNumbers,
    as_codes,
    as_text,
    booleans,
    check_type,
    distinct_text,
    is_missing,
    is_text,
    numbers,
    parse_numbers,
    refuse,
    row_number,
    shown,
)
from mlp_jax.data.tables.encode import enum_of, missing_text
from mlp_jax.errors import InputError, UnknownNameError

# Whole numbers are labels up to so many distinct values; above, they are numbers to predict if
# there are more than MANY_VALUES of them, or fewer than ROWS_A_VALUE rows each.
FEW_VALUES = 50
MANY_VALUES = 1000
ROWS_A_VALUE = 20


class FoundTask(NamedTuple):
    """classification, multilabel or regression, and a note where that was not evident."""

    task: str
    notes: tuple[str, ...] = ()


def fit_target(
    frame: pl.DataFrame,
    targets: Sequence[str],
    *,
    task: str = "auto",
    rows: np.ndarray | None = None,
) -> tuple[TargetEncoding, tuple[str, ...]]:
    """The encoding of the target columns, learned from training rows, and notes for the user.

    rows: which rows of the frame are training rows, as booleans (N,); None for all; what is
    missing in them is left out. `task` as `Table` has it; several columns of 0 and 1 are
    multilabel. Numbers are brought to mean 0 and standard deviation 1 over the training rows.
    Raises InputError for a single class, a column that is not there, and text among numbers.
    """
    columns = target_columns(frame, targets)
    if rows is not None:
        chosen = pl.Series(rows)
        columns = [column.filter(chosen) for column in columns]
    found = find_task(columns, task)
    if found.task == "classification":
        encoding = TargetEncoding("classification", tuple(targets), classes_of(columns[0]))
    elif found.task == "multilabel":
        encoding = TargetEncoding("multilabel", tuple(targets))
    else:
        if rows is not None:
            for column in target_columns(frame, targets):
                numbers(column)  # an error names the row of the whole table
        encoding = _standardized(columns)
    return encoding, found.notes


def target_columns(frame: pl.DataFrame, targets: Sequence[str]) -> list[pl.Series]:
    """The columns to predict; InputError for one that is not there or can be no target."""
    if not targets:
        raise InputError("No target is named: say which column is to be predicted.")
    absent = [name for name in targets if name not in frame.columns]
    if absent:
        raise InputError(f"The table has no target column {missing_text(absent, frame.columns)}.")
    columns = [frame.get_column(name) for name in targets]
    for column in columns:
        check_type(column)
    return columns


def find_task(columns: Sequence[pl.Series], task: str, n_rows: int | None = None) -> FoundTask:
    """What is predicted, by `Table.task`, from the target's values.

    n_rows: of which the columns hold each distinct value once; None where they are the rows.
    """
    if task == "multilabel":  # found already, on all of the rows
        return FoundTask("multilabel")
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    if task == "regression":
        return FoundTask("regression")
    if len(columns) > 1:
        if all(_is_binary(column) for column in columns):
            return FoundTask("multilabel")
        if task == "classification":
            odd = next(column for column in columns if not _is_binary(column))
            raise InputError(
                f"Several targets for classification hold 0 and 1 each, but '{odd.name}' holds"
                " other values."
            )
        return FoundTask("regression")
    column = columns[0]
    if task == "classification":
        return FoundTask("classification")
    if column.dtype.is_numeric() and not column.dtype.is_integer():
        return FoundTask("regression")
    if column.dtype.is_integer():
        return _of_whole_numbers(column, n_rows)
    return _of_text(column, n_rows) if is_text(column.dtype) else FoundTask("classification")


def _of_whole_numbers(column: pl.Series, n_rows: int | None) -> FoundTask:
    distinct, rows = column.n_unique(), len(column) if n_rows is None else n_rows
    most = min(MANY_VALUES, max(FEW_VALUES, rows // ROWS_A_VALUE))
    if distinct <= most:
        return FoundTask("classification")
    note = (
        f"Target '{column.name}' has {distinct} different whole numbers, so they are predicted as"
        " numbers (task classification takes them for labels)."
    )
    return FoundTask("regression", (note,))


def _of_text(column: pl.Series, n_rows: int | None) -> FoundTask:
    """Labels, or numbers that a few words among them turned into text."""
    distinct = distinct_text(column)
    found = parse_numbers(distinct)
    spelled = ~distinct.str.strip_chars().str.to_lowercase().is_in(MISSING_WORDS)
    n_words = int((found.is_null() & spelled).sum())
    if len(distinct) <= FEW_VALUES or 2 * n_words > len(distinct):
        return FoundTask("classification")
    if n_words == 0:
        whole = found.drop_nulls().drop_nans()
        return (
            FoundTask("regression")
            if (whole != whole.floor()).any()
            else FoundTask(
                *_of_whole_numbers(
                    parse_numbers(as_text(column)).cast(pl.Int64, strict=False), n_rows
                )
            )
        )
    odd = distinct.filter(found.is_null() & spelled)[0]
    row = int((as_text(column) == odd).arg_max() or 0)
    place = f" in row {row}" if n_rows is None else ""
    raise InputError(
        f"Target '{column.name}' holds numbers, but {shown(odd)}{place} is text: remove it, or say"
        " task classification if these are labels."
    )


def _is_binary(column: pl.Series) -> bool:
    if isinstance(column.dtype, pl.Boolean):
        return True
    words = distinct_text(column)
    return len(words) <= 2 and bool(words.str.to_lowercase().is_in(TRUE_WORDS + FALSE_WORDS).all())


def classes_of(column: pl.Series) -> tuple[str, ...]:
    """The distinct labels: numbers in their order, else in the order of their text."""
    names = distinct_text(column).to_list()
    if len(names) < 2:
        only = f": {shown(names[0])}" if names else ""
        raise InputError(
            f"Target '{column.name}' has {'a single class' if names else 'no class'} in the"
            f" training rows{only}; there is nothing to tell apart."
        )
    values = parse_numbers(pl.Series(names)).to_list()
    if all(value is not None for value in values):
        names = [name for _, name in sorted(zip(values, names, strict=True))]
    return tuple(names)


def _standardized(columns: Sequence[pl.Series]) -> TargetEncoding:
    figures = []
    for column in columns:
        y = _finite(column)
        spread = float(y.std()) if y.min() != y.max() else 0.0
        figures.append((column.name, float(y.mean()), spread))
    return standardized(figures)


def standardized(figures: Sequence[tuple[str, float, float]]) -> TargetEncoding:
    """The encoding of numbers from the name, mean and standard deviation of each column."""
    for name, _, spread in figures:
        if not np.isfinite(spread):
            raise InputError(f"Target '{name}' is too widely spread to be standardized.")
    names, means, spreads = zip(*figures, strict=True)
    return TargetEncoding("regression", names, (), tuple(s or 1.0 for s in spreads), means)


def _finite(column: pl.Series) -> np.ndarray:
    y = numbers(column)
    y = y[np.isfinite(y)]
    if not len(y):
        raise InputError(f"Target '{column.name}' has no number in the training rows.")
    return y


def known_rows(columns: Sequence[pl.Series], task: str) -> np.ndarray:
    """Which rows (N,) have a value in every target column, for a task as `find_task` found it."""
    known = np.ones(len(columns[0]), bool)
    for column in columns:
        if task == "classification":
            known &= ~is_missing(column).to_numpy()
        else:
            known &= np.isfinite(_READERS[task](column))
    return known


_READERS = {"multilabel": booleans, "regression": numbers}


def encode_target(
    encoding: TargetEncoding,
    frame: pl.DataFrame,
    *,
    first_row: RowNumbers = 0,
    missing_allowed: bool = False,
) -> np.ndarray:
    """y: int32 labels (N,), float32 0 and 1 (N, C), or float64 numbers (N,) or (N, C) as they are.

    A missing value is −1 or NaN where it is allowed. Raises InputError, which names column, row
    and value, for one that is not, for a column that is not there, a label that was not in the
    training rows, and text among numbers.
    """
    columns = target_columns(frame, encoding.names)
    if encoding.task == "classification":
        y = _labels(encoding, columns[0], first_row)
        missing = y[:, None] < 0
    else:
        outputs = [_READERS[encoding.task](column, first_row) for column in columns]
        y = np.stack(outputs, axis=1)
        missing = ~np.isfinite(y)
        if encoding.task == "multilabel":
            y = y.astype(np.float32)
        elif len(outputs) == 1:
            y = outputs[0]
    if not missing_allowed:
        for column, absent in zip(columns, missing.T, strict=True):
            _check_known(column, absent, first_row)
    return y


def _labels(encoding: TargetEncoding, column: pl.Series, first_row: RowNumbers) -> np.ndarray:
    """Labels (N,) int32, −1 where missing; InputError for one that training never saw."""
    found = _found(encoding, column)
    unknown = found.is_null() & ~is_missing(column)
    refuse(column, unknown, f"one of the classes: {_listed(encoding.classes)}", first_row)
    return found.fill_null(-1).to_numpy()


def among_classes(encoding: TargetEncoding, frame: pl.DataFrame) -> Bool[np.ndarray, " N"]:
    """Which rows have a label that training saw, or none; all where numbers are predicted."""
    if encoding.task != "classification":
        return np.ones(frame.height, bool)
    (column,) = target_columns(frame, encoding.names)
    return (_found(encoding, column).is_not_null() | is_missing(column)).to_numpy()


def _found(encoding: TargetEncoding, column: pl.Series) -> pl.Series:
    """Labels int32, null where there is none or one that training never saw."""
    found = as_codes(column, enum_of(encoding.classes)).cast(pl.Int32)
    if found.null_count():
        found = found.fill_null(_labels_by_number(encoding.classes, as_text(column)))
    return found


def _labels_by_number(classes: tuple[str, ...], text: pl.Series) -> pl.Series:
    """Labels that are written another way: 3, 3.0 and 03 are one, so are True and true."""
    numbers_of = parse_numbers(pl.Series(classes)).to_list()
    by_number = {v: k for k, v in reversed(list(enumerate(numbers_of))) if v is not None}
    by_word = {
        word.lower(): k for k, word in enumerate(classes) if word.lower() in ("true", "false")
    }
    words = text.str.to_lowercase().replace_strict(by_word, default=None, return_dtype=pl.Int32)
    if not by_number:
        return words
    found = parse_numbers(text).replace_strict(by_number, default=None, return_dtype=pl.Int32)
    return found.fill_null(words)


def _check_known(column: pl.Series, missing: np.ndarray, first_row: RowNumbers) -> None:
    if missing.any():
        row = row_number(first_row, int(np.argmax(missing)))
        raise InputError(
            f"Target '{column.name}' has no value in row {row}"
            f" ({np.count_nonzero(missing)} such rows)."
        )


def _listed(names: Sequence[str]) -> str:
    shown_names = ", ".join(f"'{name}'" for name in names[:10])
    return shown_names + (f" and {len(names) - 10} more" if len(names) > 10 else "")
