"""From rows as people hand them over to what a network takes.

Letters: N rows, I features, C classes or outputs. polars is imported only where there are columns.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.data.encoding import (
    ArrayEncoding,
    InputEncoding,
    TableEncoding,
    TargetEncoding,
    TextForm,
)
from mlp_jax.data.load import load
from mlp_jax.data.scaling import Scaling, apply
from mlp_jax.data.table import Table
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.errors import InputError
from mlp_jax.model.forked import check_polars_not_inherited, polars_is_inherited
from mlp_jax.model.given_columns import (
    Column,
    as_series,
    given_column,
    given_columns,
    holds_numbers,
    library_of,
)
from mlp_jax.model.labels import as_words, find_classes, unknown_label

if TYPE_CHECKING:
    import polars as pl

UNSCALED_LIMIT = 1e15  # numbers that go into a network of float32 as they are are clipped to ± this


def load_for(
    inputs: InputEncoding,
    target: TargetEncoding,
    data: str,
    targets: Sequence[str] = (),
    data_dir: Path | None = None,
    separator: str | None = None,
) -> Dataset | Table:
    """Rows by name or file; their targets, else the model's own, read as its task has them.

    separator: of a text file; None finds it.
    """
    task = "auto" if target.task == "multilabel" else target.task
    header = not isinstance(inputs, TableEncoding) or inputs.header
    names = targets or target.names
    written = names if any(form != TextForm() for form in target.forms) else ()
    if isinstance(inputs, TableEncoding):
        written = (*inputs.written_columns, *written)
    text = TextOptions(separator, na_values=target.na_values, as_text=tuple(written))
    return load(data, task=task, targets=names, data_dir=data_dir, header=header, text=text)


def features(
    inputs: InputEncoding, rows: Any, dtype: DTypeLike = np.float32, first_row: int = 0
) -> np.ndarray:
    """x (N, I) of rows of any kind, as a network takes it; pixels stay as they are.

    first_row: what row 0 counts as where an error names one. Raises InputError, DataFileError.
    """
    if isinstance(rows, str | os.PathLike):
        check_polars_not_inherited("read a file")
        from mlp_jax.model.sources import batches

        parts = [
            features(inputs, batch.rows, dtype, batch.first_row) for batch in batches(rows, inputs)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, inputs.n_features), dtype)
    if isinstance(rows, Table):
        rows = rows.frame if rows.test is None else rows.test
    elif isinstance(rows, Dataset):
        rows = _of_dataset(inputs, rows)[0]
    elif isinstance(rows, Split):
        rows = rows.x
    if polars_is_inherited():
        return _plain_features(inputs, rows, dtype, first_row)
    frame = as_frame(rows)
    if isinstance(inputs, TableEncoding):
        return _table_features(inputs, rows, frame, first_row)
    if frame is not None:
        rows = _matrix(inputs, frame)
    return _array_features(inputs, np.asarray(rows), dtype, first_row)


def rows_and_targets(
    inputs: InputEncoding, target: TargetEncoding, rows: Any, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """`labelled_rows` without their numbers."""
    return labelled_rows(inputs, target, rows, dtype)[:2]


def labelled_rows(
    inputs: InputEncoding, target: TargetEncoding, rows: Any, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, row numbers) of rows that have their targets.

    A Dataset, a Table, a Split, (x, y), a frame. y: indices into the model's classes (N,), numbers
    (N,) or (N, C), or 0 and 1 (N, C). The y of a pair and the columns of a frame hold labels of
    any type, compared by value; those of a Split are indices already. Rows of a table without a
    target are left out; the numbers (N,) count them, from 0.
    """
    numbers = None
    if isinstance(rows, tuple) and len(rows) == 2:
        x, y = features(inputs, rows[0], dtype), _known_targets(target, np.asarray(rows[1]))
    elif isinstance(rows, Split):
        x, y = features(inputs, rows, dtype), rows.y
    elif isinstance(rows, Dataset):
        part, labels = _of_dataset(inputs, rows)
        x, y = features(inputs, part, dtype), _known_targets(target, labels)
    else:
        frame = _judged_frame(rows)
        y, known = _column_targets(target, rows, frame)
        x, y = features(inputs, frame, dtype)[known], y[known]
        numbers = np.flatnonzero(known)
    if not len(x) or len(x) != len(y):
        raise InputError(f"There are {len(x)} rows to judge, and {len(y)} targets.")
    return x, y, np.arange(len(x)) if numbers is None else numbers


def as_frame(rows: Any) -> "pl.DataFrame | None":
    """Named columns as a polars DataFrame; None for rows without names.

    What is declared to be a category is an Enum; a polars frame stays as it is but for objects.
    InputError for a Series, two columns of one name, and values that no column can hold.
    """
    if library_of(rows) == "polars" and type(rows).__name__ != "Series":
        import polars as pl

        frame = rows.collect() if hasattr(rows, "collect") else rows
        objects = [name for name, kind in frame.schema.items() if kind == pl.Object]
        if not objects:
            return frame
        return frame.with_columns(
            as_series(name, given_column(name, frame.get_column(name))) for name in objects
        )
    columns = given_columns(rows)
    return None if columns is None else _frame_of_columns(columns)


def _frame_of_columns(columns: dict[str, Any]) -> "pl.DataFrame":
    import polars as pl

    series = [
        column if isinstance(column, pl.Series) else as_series(name, column)
        for name, column in columns.items()
    ]
    try:
        return pl.DataFrame(series)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"These columns are no table: {reason}.") from None


def _matrix(inputs: ArrayEncoding, frame: "pl.DataFrame") -> np.ndarray:
    """The columns of a frame as rows (N, I): by name where the features have names."""
    import polars as pl

    from mlp_jax.model.sources import need_columns

    if inputs.feature_names:
        need_columns(inputs.feature_names, frame.columns, "The table")
        frame = frame.select(inputs.feature_names)
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Enum | pl.Categorical):  # levels that are numbers are numbers
            numbers = frame.get_column(name).cast(pl.String).cast(pl.Float64, strict=False)
            if numbers.null_count() == frame.get_column(name).null_count():
                frame = frame.with_columns(numbers)
                continue
        if not (kind.is_numeric() or kind == pl.Boolean):
            raise InputError(f"The column '{name}' holds {kind}, but the model takes numbers.")
    return frame.cast(pl.Float64).to_numpy()


def _array_features(
    inputs: ArrayEncoding, x: np.ndarray, dtype: DTypeLike, first_row: int
) -> np.ndarray:
    """Rows of numbers, checked, scaled in float64; uint8 pixels as they are."""
    if x.dtype.kind == "O" and holds_numbers(x.ravel().tolist()):
        x = x.astype(np.float64)
    if x.dtype.kind not in "biuf":
        raise InputError(f"The model takes rows of numbers, not of {x.dtype}.")
    if x.ndim > 2:
        x = x.reshape(len(x), -1)
    if x.ndim != 2 or x.shape[1] != inputs.n_features:
        raise InputError(
            f"The model takes rows of {inputs.n_features} features, x (N, {inputs.n_features}),"
            f" not of shape {x.shape}."
        )
    if x.dtype.kind == "f" and not (finite := np.isfinite(x)).all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"Row {first_row + row}, column {column} of x is {x[row, column]}; the model takes"
            " finite numbers."
        )
    if x.dtype == np.uint8 and (inputs.pixels or not inputs.scale):
        return x
    if inputs.pixels or not inputs.scale:
        narrow = np.dtype(dtype) != np.float64
        return (np.clip(x, -UNSCALED_LIMIT, UNSCALED_LIMIT) if narrow else x).astype(dtype)
    return apply(Scaling(np.array(inputs.scale), np.array(inputs.offset)), x, dtype)


def _table_features(
    inputs: TableEncoding, rows: Any, frame: "pl.DataFrame | None", first_row: int
) -> np.ndarray:
    from mlp_jax.data.tables.encode import encode

    if frame is None:
        frame = _frame_of_columns(given_columns(_numbered(inputs, rows)) or {})
    return encode(inputs, frame, first_row=first_row)


def _plain_features(
    inputs: InputEncoding, rows: Any, dtype: DTypeLike, first_row: int
) -> np.ndarray:
    """`features` without polars."""
    columns = given_columns(rows)
    if isinstance(inputs, TableEncoding):
        from mlp_jax.model.plain_features import plain_features

        if columns is None:
            columns = given_columns(_numbered(inputs, rows)) or {}
        return plain_features(inputs, columns, first_row)
    if columns is not None:
        rows = _plain_matrix(inputs, columns)
    return _array_features(inputs, np.asarray(rows), dtype, first_row)


def _plain_matrix(inputs: ArrayEncoding, columns: Mapping[str, Column]) -> np.ndarray:
    """`_matrix` without polars."""
    from mlp_jax.model.plain_features import plain_numbers
    from mlp_jax.model.sources import need_columns

    need_columns(inputs.feature_names, list(columns), "The table")
    names = inputs.feature_names or tuple(columns)
    return np.stack([plain_numbers(name, columns[name]) for name in names], axis=1)


def _numbered(inputs: TableEncoding, rows: Any) -> dict[str, np.ndarray]:
    """The columns of an array, named by their place as those of an .npy file are."""
    x = np.asarray(rows)
    if not all(name.isdecimal() for name in inputs.column_names) or x.ndim != 2:
        raise InputError(
            "The model takes named columns: a DataFrame, a dict of columns or a file, not"
            f" {type(rows).__name__}."
        )
    return {str(place): column for place, column in enumerate(x.T)}


def _of_dataset(inputs: InputEncoding, dataset: Dataset) -> tuple[Any, np.ndarray]:
    """(rows, targets with labels as text) of the test rows, or of all where there are none."""
    part = dataset.train if dataset.test is None else dataset.test
    labels = np.array(dataset.classes)[part.y] if dataset.is_classification else part.y
    if isinstance(inputs, TableEncoding) and dataset.feature_names:
        return dict(zip(dataset.feature_names, part.x.T, strict=True)), labels
    return part.x, labels


def _known_targets(target: TargetEncoding, y: np.ndarray) -> np.ndarray:
    """Targets in the model's terms: the index of every label, whatever type it is given in."""
    if target.task != "classification":
        return _numbers(y)
    if y.ndim != 1:
        raise InputError(f"The model predicts labels (N,), but the targets have shape {y.shape}.")
    words = as_words(y)
    distinct, index = np.unique(words, return_inverse=True)
    found = find_classes(target.classes, distinct.tolist())
    for label, number in zip(distinct.tolist(), found, strict=True):
        if number is None:
            row = int(np.flatnonzero(words == label)[0])
            raise InputError(unknown_label(label, row, target.classes))
    return np.array(found, np.int32)[index]


def _numbers(y: np.ndarray) -> np.ndarray:
    """Targets that are numbers, boxed or not, as float64."""
    try:
        if y.dtype.kind in "biufO":
            return y.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise InputError(f"The model predicts numbers, but the targets are {y.dtype}.")


def _judged_frame(rows: Any) -> "pl.DataFrame":
    """The rows of a table that are judged: its own test rows where it has some."""
    if isinstance(rows, Table):
        return rows.frame if rows.test is None else rows.test
    frame = as_frame(rows)
    if frame is None:
        raise InputError(
            "To judge a model give rows with their targets: a file, a DataFrame, a data set, or"
            f" the pair (x, y), not {type(rows).__name__}."
        )
    return frame


def _column_targets(
    target: TargetEncoding, rows: Any, frame: "pl.DataFrame"
) -> tuple[np.ndarray, np.ndarray]:
    """(targets, which rows have one): the columns are the model's, or those that a Table names."""
    from mlp_jax.data.tables.targets import encode_target

    names = rows.targets if isinstance(rows, Table) and rows.targets else target.names
    if not names:
        raise InputError("The model was trained on arrays; say which column holds the target.")
    if target.task == "classification":
        frame = _with_known_spelling(target, names, frame)
    y = encode_target(replace(target, names=names), frame, missing_allowed=True)
    columns = y.reshape(len(y), -1)
    known = columns >= 0 if target.task == "classification" else np.isfinite(columns)
    return y, np.all(known, axis=1)


def _with_known_spelling(
    target: TargetEncoding, names: Sequence[str], frame: "pl.DataFrame"
) -> "pl.DataFrame":
    """The frame with labels that have the value of a class, but another text, spelled as it."""
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
