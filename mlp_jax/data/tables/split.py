"""Split of a table's rows into training, validation and test rows, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlp_jax.data.encoding import TableEncoding, TargetEncoding
from mlp_jax.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    part_of_groups,
    part_of_rows,
    usual_validation,
)
from mlp_jax.data.table import Table
from mlp_jax.data.tables.columns import as_codes, as_text, distinct_text, refuse, shown
from mlp_jax.data.tables.encode import BLOCK, check_columns, encode_block, enum_of, missing_text
from mlp_jax.data.tables.notes import gone
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.target_task import find_task, target_counts
from mlp_jax.data.tables.targets import known_rows, target_columns
from mlp_jax.errors import InputError

UNUSED = -1
_PART_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
}


@dataclass(frozen=True, eq=False)
class TableSplit:
    """Part of each row (N,), UNUSED if the target is missing; the task; notes for the user.

    columns: columns that define the split and are not features.
    """

    part: np.ndarray
    task: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def split_table(
    table: Table,
    test: float | None,
    validation: float | None,
    seed: int,
    split_column: str | None,
    group_column: str | None,
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> TableSplit:
    """Return the part of each row of `table.frame`, chosen as in `prepare`."""
    frame = table.frame
    by = tuple(name for name in (split_column, group_column) if name is not None)
    _check_columns(table, by)
    targets = target_columns(frame, table.targets, text.na_values)
    task, notes, forms = find_task([target_counts(column) for column in targets], table.task, text)
    known = known_rows(targets, task, forms)
    n_missing = frame.height - int(np.count_nonzero(known))
    if n_missing == frame.height:
        raise InputError(f"No row of '{table.name}' has a value of '{table.targets[0]}'.")
    if n_missing:
        notes = (*notes, left_out(n_missing, [frame[name] for name in table.targets], targets))
    labels = None
    if task == "classification":
        labels = _numbered(targets[0])[known]
    own_test = None if table.test is not None else test
    part = np.full(frame.height, UNUSED, np.int8)
    if split_column is not None:
        named = _named_parts(table, split_column, known)
        part[known] = _with_validation(named, labels, validation, seed)
    elif group_column is not None:
        groups = _numbered(frame.get_column(group_column).filter(pl.Series(known)))
        share = usual_validation(len(groups)) if validation is None else validation
        part[known] = part_of_groups(groups, test=own_test, validation=share, seed=seed)
    else:
        n_rows = frame.height - n_missing
        share = usual_validation(n_rows) if validation is None else validation
        part[known] = part_of_rows(n_rows, labels, test=own_test, validation=share, seed=seed)
    return TableSplit(part, task, by, notes)


def left_out(n_rows: int, came: Sequence[pl.Series], targets: Sequence[pl.Series]) -> str:
    """Return a note on rows without a target, from the columns as given and as read."""
    words = sorted({word for a, b in zip(came, targets, strict=True) for word in gone(a, b)})
    found = f" ({', '.join(shown(w) for w in words[:5])}; --na-values sets others)" if words else ""
    rows = "row is" if n_rows == 1 else "rows are"
    return f"{n_rows} {rows} left out: the target is missing{found}."


def _check_columns(table: Table, by: tuple[str, ...]) -> None:
    if len(by) > 1:
        raise InputError("Rows are split by a column or by groups, not by both.")
    for name in by:
        if name not in table.frame.columns:
            raise InputError(
                f"'{table.name}' has no column {missing_text([name], table.frame.columns)} to"
                " split by."
            )
        if name in table.targets:
            raise InputError(f"'{name}' is the target, so rows cannot be split by it.")


def _named_parts(table: Table, split_column: str, known: np.ndarray) -> np.ndarray:
    """Return the part that the split column names for each row with a target."""
    column = table.frame.get_column(split_column)
    words = as_text(column).str.strip_chars().str.to_lowercase()
    found = words.replace_strict(_PART_WORDS, default=None, return_dtype=pl.Int8)
    refuse(column, found.is_null(), "train, validation or test", 0)
    part = found.to_numpy()[known]
    if not (part == TRAIN).any():
        raise InputError(f"Column '{split_column}' names no row for training.")
    if table.test is not None and (part == TEST).any():
        raise InputError(
            f"'{table.name}' has separate test rows, so '{split_column}' cannot name others."
        )
    return part


def _with_validation(
    part: np.ndarray, labels: np.ndarray | None, validation: float | None, seed: int
) -> np.ndarray:
    """Draw validation rows from the training rows if none are named."""
    train = np.flatnonzero(part == TRAIN)
    share = usual_validation(len(train)) if validation is None else validation
    if (part == VALIDATION).any() or not share:
        return part
    own = None if labels is None else labels[train]
    drawn = part_of_rows(len(train), own, test=None, validation=share, seed=seed)
    part = part.copy()
    part[train[drawn == VALIDATION]] = VALIDATION
    return part


def _numbered(column: pl.Series) -> np.ndarray:
    """Number the values from 0 in the order of their text; the last number is for missing ones."""
    names = tuple(distinct_text(column))
    return as_codes(column, enum_of(names)).cast(pl.Int64).fill_null(len(names)).to_numpy()


def labelled_rows(frame: pl.DataFrame, target: TargetEncoding) -> pl.Series:
    """Return a mask of the rows with a target."""
    columns = target_columns(frame, target.names, target.na_values)
    return pl.Series(known_rows(columns, target.task, target.forms))


def encode_parts(
    encoding: TableEncoding, frame: pl.DataFrame, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x of the training, validation and test rows, encoded block by block in place."""
    check_columns(encoding, frame.columns)
    numbers = (TRAIN, VALIDATION, TEST)
    arrays = [
        np.empty((np.count_nonzero(part == number), encoding.n_features), np.float32)
        for number in numbers
    ]
    filled = [0] * len(arrays)
    block = np.empty((BLOCK, encoding.n_features), np.float32)
    for start in range(0, frame.height, BLOCK):
        rows = frame.slice(start, BLOCK)
        encoded = block[: rows.height]
        encode_block(encoding, rows, encoded, start)
        for number in numbers:
            chosen = part[start : start + BLOCK] == number
            end = filled[number] + int(np.count_nonzero(chosen))
            np.compress(chosen, encoded, axis=0, out=arrays[number][filled[number] : end])
            filled[number] = end
    return arrays[0], arrays[1], arrays[2]
