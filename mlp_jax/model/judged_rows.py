"""Rows with targets, encoded for evaluation.

Letters: N rows, I features, C classes or outputs.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.data.encoding import InputEncoding, TableEncoding, TargetEncoding
from mlp_jax.data.scaling import check_targets_near
from mlp_jax.data.table import Table
from mlp_jax.errors import DataWarning, InputError
from mlp_jax.model.labels import as_words, find_classes, unknown_label
from mlp_jax.model.rows import as_frame, features, of_dataset

if TYPE_CHECKING:
    import polars as pl

    from mlp_jax.data.tables.notes import UnseenCategories


def rows_and_targets(
    inputs: InputEncoding, target: TargetEncoding, rows: Any, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) of `labelled_rows`."""
    return labelled_rows(inputs, target, rows, dtype)[:2]


def labelled_rows(
    inputs: InputEncoding,
    target: TargetEncoding,
    rows: Any,
    dtype: DTypeLike = np.float32,
    *,
    new: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (x, y, row numbers from 0) of rows that have targets.

    y are class indices (N,), numbers (N,) or (N, C), or 0 and 1 (N, C). Table rows without a target
    are skipped with a DataWarning.

    Args:
        rows: a Dataset, Table, Split, frame or pair (x, y). Labels of a pair or a frame may have
            any type and are compared by value; a Split has class indices.
        new: warn about unseen categories.

    Raises:
        InputError: for rows or targets that do not fit the model, or too large to evaluate.
    """
    numbers = None
    unseen = _unseen(inputs) if new else None
    if isinstance(rows, tuple) and len(rows) == 2:
        x = features(inputs, rows[0], dtype, unseen=unseen)
        y = _known_targets(target, np.asarray(rows[1]))
    elif isinstance(rows, Split):
        x, y = features(inputs, rows, dtype), rows.y
    elif isinstance(rows, Dataset):
        part, labels = of_dataset(inputs, rows)
        x, y = features(inputs, part, dtype), _known_targets(target, labels)
    else:
        frame = _judged_frame(rows)
        y, known = _column_targets(target, rows, frame)
        x, y = features(inputs, frame, dtype, unseen=unseen)[known], y[known]
        numbers = np.flatnonzero(known)
        if not len(numbers):
            raise InputError(
                f"None of the {len(known)} rows has a target; evaluation needs targets."
            )
        if missing := len(known) - len(numbers):
            are = "row is" if missing == 1 else "rows are"
            warnings.warn(f"{missing} {are} left out: the target is missing.", DataWarning, 2)
    warn_of_unseen(unseen)
    if not len(x) or len(x) != len(y):
        raise InputError(f"Evaluation needs one target per row: {len(x)} rows, {len(y)} targets.")
    numbers = np.arange(len(x)) if numbers is None else numbers
    if target.task == "regression":
        check_targets_near(y, target.scale, target.offset, numbers, target.names)
    return x, y, numbers


def _unseen(inputs: InputEncoding) -> "UnseenCategories | None":
    """Return a collector of unseen categories; None if the model has no categorical column."""
    if not isinstance(inputs, TableEncoding) or not inputs.categorical:
        return None
    from mlp_jax.data.tables.notes import UnseenCategories

    return UnseenCategories()


def warn_of_unseen(unseen: "UnseenCategories | None") -> None:
    """Issue a DataWarning for each column with unseen categories."""
    for note in () if unseen is None else unseen.notes():
        warnings.warn(note, DataWarning, 3)


def _known_targets(target: TargetEncoding, y: np.ndarray) -> np.ndarray:
    """Return targets in the model's terms: class indices for labels of any type."""
    if target.task != "classification":
        return _numbers(y)
    if y.ndim != 1:
        raise InputError(f"The model predicts labels (N,), but the targets have shape {y.shape}.")
    if y.dtype.kind == "M" and target.label_type.startswith("datetime64"):
        y = y.astype(target.label_type)
    words = as_words(y)
    distinct, index = np.unique(words, return_inverse=True)
    found = find_classes(target.classes, distinct.tolist())
    for label, number in zip(distinct.tolist(), found, strict=True):
        if number is None:
            row = int(np.flatnonzero(words == label)[0])
            raise InputError(unknown_label(label, row, target.classes))
    return np.array(found, np.int32)[index]


def _numbers(y: np.ndarray) -> np.ndarray:
    """Return numeric targets, boxed or not, as float64."""
    try:
        if y.dtype.kind in "biufO":
            return y.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise InputError(f"The model predicts numbers, but the targets are {y.dtype}.")


def _judged_frame(rows: Any) -> "pl.DataFrame":
    """Return the rows of a table to evaluate: its test rows if there are any."""
    if isinstance(rows, Table):
        return rows.frame if rows.test is None else rows.test
    frame = as_frame(rows)
    if frame is None:
        raise InputError(
            "Evaluation takes rows with targets: a file, a DataFrame, a data set or a pair (x, y),"
            f" not {type(rows).__name__}."
        )
    return frame


def _column_targets(
    target: TargetEncoding, rows: Any, frame: "pl.DataFrame"
) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, mask of rows that have one), from the model's columns or the Table's."""
    from mlp_jax.data.tables.targets import encode_target

    names = rows.targets if isinstance(rows, Table) and rows.targets else target.names
    if not names:
        raise InputError("The model was trained on arrays; name the target column.")
    if target.task == "classification":
        frame = _with_known_spelling(target, names, frame)
    y = encode_target(replace(target, names=names), frame, missing_allowed=True)
    columns = y.reshape(len(y), -1)
    known = columns >= 0 if target.task == "classification" else np.isfinite(columns)
    return y, np.all(known, axis=1)


def _with_known_spelling(
    target: TargetEncoding, names: Sequence[str], frame: "pl.DataFrame"
) -> "pl.DataFrame":
    """Replace labels that equal a class by value but not by text with the class's text."""
    import polars as pl

    from mlp_jax.data.tables.columns import as_text, distinct_text
    from mlp_jax.data.tables.targets import target_columns

    (column,) = target_columns(frame, names)
    labels = distinct_text(column).to_list()
    found = find_classes(target.classes, labels)
    spelled = {
        label: target.classes[k]
        for label, k in zip(labels, found, strict=True)
        if k is not None and target.classes[k] != label
    }
    if not spelled:
        return frame
    return frame.with_columns(as_text(column).replace(spelled).cast(pl.String).alias(column.name))
