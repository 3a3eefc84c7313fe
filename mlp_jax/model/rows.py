"""Encoding of users' rows into network inputs.

Letters: N rows, I features, C classes or outputs. polars is imported only for rows with columns.
"""

import os
from collections.abc import Mapping, Sequence
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

if TYPE_CHECKING:
    import polars as pl

    from mlp_jax.data.tables.notes import UnseenCategories

UNSCALED_LIMIT = 1e15  # unscaled inputs of a float32 network are clipped to ± this


def load_for(
    inputs: InputEncoding,
    target: TargetEncoding,
    data: str,
    targets: Sequence[str] = (),
    data_dir: Path | None = None,
    separator: str | None = None,
) -> Dataset | Table:
    """Load a data set or file for a model, in the form that its task needs.

    targets: target columns (default: the model's). separator: of a text file. None detects it, and
    falls back to that of the training file if the detected one does not give the model's columns.
    """
    task = "auto" if target.task == "multilabel" else target.task
    header = not isinstance(inputs, TableEncoding) or inputs.header
    names = targets or target.names
    written = names if any(form != TextForm() for form in target.forms) else ()
    if isinstance(inputs, TableEncoding):
        written = (*inputs.written_columns, *written)
    text = TextOptions(
        separator,
        na_values=target.na_values,
        as_text=tuple(written),
        needed=inputs.column_names if isinstance(inputs, TableEncoding) else (),
        usual=inputs.separator if isinstance(inputs, TableEncoding) else "",
    )
    return load(data, task=task, targets=names, data_dir=data_dir, header=header, text=text)


def features(
    inputs: InputEncoding,
    rows: Any,
    dtype: DTypeLike = np.float32,
    first_row: int = 0,
    unseen: "UnseenCategories | None" = None,
) -> np.ndarray:
    """Encode rows of any kind as x (N, I); pixels stay uint8.

    first_row: number of row 0 in messages. unseen: collects unseen categories. Raises InputError
    for rows that the model cannot encode, DataFileError for a file that is missing or damaged.
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
        rows = of_dataset(inputs, rows)[0]
    elif isinstance(rows, Split):
        rows = rows.x
    if polars_is_inherited():
        return _plain_features(inputs, rows, dtype, first_row)
    frame = as_frame(rows)
    if isinstance(inputs, TableEncoding):
        return _table_features(inputs, rows, frame, first_row, unseen)
    if frame is not None:
        rows = _matrix(inputs, frame)
    return _array_features(inputs, np.asarray(rows), dtype, first_row)


def as_frame(rows: Any) -> "pl.DataFrame | None":
    """Return named columns as a polars DataFrame; None for rows without names.

    Declared categories become Enum; a polars frame is unchanged except for object columns. Raises
    InputError for a Series, duplicate names, or values that no column can hold.
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

    series = {
        name: column if isinstance(column, pl.Series) else as_series(name, column)
        for name, column in columns.items()
    }
    try:
        return pl.DataFrame(series)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"These columns do not form a table: {reason}.") from None


def _matrix(inputs: ArrayEncoding, frame: "pl.DataFrame") -> np.ndarray:
    """Return the columns of a frame as rows (N, I): by name if the features have names."""
    import polars as pl

    from mlp_jax.model.sources import need_columns

    if inputs.feature_names:
        need_columns(inputs.feature_names, frame.columns, "The table")
        frame = frame.select(inputs.feature_names)
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Enum | pl.Categorical):  # numeric levels are read as numbers
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
    """Check rows of numbers and scale them in float64; uint8 pixels unchanged."""
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
    scaled = bool(inputs.scale) and not inputs.pixels
    if x.dtype == np.uint8 and not scaled:
        return x
    if scaled:
        return apply(Scaling(np.array(inputs.scale), np.array(inputs.offset)), x, dtype)
    with np.errstate(over="ignore"):  # overflow is clipped below
        found = x.astype(dtype)
    if found.dtype != np.float64:
        np.clip(found, -UNSCALED_LIMIT, UNSCALED_LIMIT, out=found)
    return found


def _table_features(
    inputs: TableEncoding,
    rows: Any,
    frame: "pl.DataFrame | None",
    first_row: int,
    unseen: "UnseenCategories | None",
) -> np.ndarray:
    from mlp_jax.data.tables.encode import encode

    if frame is None:
        frame = _frame_of_columns(given_columns(_numbered(inputs, rows)) or {})
    return encode(inputs, frame, first_row=first_row, unseen=unseen)


def _plain_features(
    inputs: InputEncoding, rows: Any, dtype: DTypeLike, first_row: int
) -> np.ndarray:
    """Return `features` without polars."""
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
    """Return `_matrix` without polars."""
    from mlp_jax.model.plain_features import plain_numbers
    from mlp_jax.model.sources import need_columns

    need_columns(inputs.feature_names, list(columns), "The table")
    names = inputs.feature_names or tuple(columns)
    return np.stack([plain_numbers(name, columns[name]) for name in names], axis=1)


def _numbered(inputs: TableEncoding, rows: Any) -> dict[str, np.ndarray]:
    """Return the columns of an array, named by position as in an .npy file."""
    x = np.asarray(rows)
    if not all(name.isdecimal() for name in inputs.column_names) or x.ndim != 2:
        raise InputError(
            "The model takes named columns: a DataFrame, a dict of columns or a file, not"
            f" {type(rows).__name__}."
        )
    return {str(place): column for place, column in enumerate(x.T)}


def of_dataset(inputs: InputEncoding, dataset: Dataset) -> tuple[Any, np.ndarray]:
    """Return (rows, targets; labels as text) of the test rows, or of all if there are none."""
    part = dataset.train if dataset.test is None else dataset.test
    labels = np.array(dataset.classes)[part.y] if dataset.is_classification else part.y
    if isinstance(inputs, TableEncoding) and dataset.feature_names:
        return dict(zip(dataset.feature_names, part.x.T, strict=True)), labels
    return part.x, labels
