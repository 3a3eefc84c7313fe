"""Batches of rows from a file in constant memory: CSV, TSV, Parquet, NPY, NPZ.

Rows count from 0, without the header.
"""

import contextlib
import math
import os
import queue
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl

from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TextForm
from mlp_jax.data.tables.columns import trimmed
from mlp_jax.data.tables.delimited import stream_delimited
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.read import read_fitting_format
from mlp_jax.data.tables.text_format import with_unnamed
from mlp_jax.errors import DataFileError, InputError, UnknownNameError
from mlp_jax.files import user_path

BATCH = 1 << 16
PIECE = 1 << 24  # bytes of text, about BATCH rows of 30 numbers
_ARRAY_KEYS = ("x", "X", "x_test", "X_test")
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".npy", ".npz")
Item = TypeVar("Item")


class FileBatch(NamedTuple):
    """Consecutive rows of a file.

    rows: a polars DataFrame or an array. first_row: number of the first row. kept: columns to copy
    to the output, as written; None for an array.
    """

    rows: Any
    first_row: int
    kept: pl.DataFrame | None = None


def batches(
    source: str | os.PathLike[str],
    inputs: InputEncoding,
    keep: Sequence[str] = (),
    separator: str | None = None,
) -> Iterator[FileBatch]:
    """Iterate over the columns that a model needs and those to `keep`, in the order of the rows.

    If a model's features have no names, all columns but the kept ones are its features, in order.

    Args:
        separator: of a text file's fields. None detects it, and falls back to that of the training
            file if the detected one does not give the model's columns.

    Raises:
        DataFileError: for a file that is missing, empty or damaged.
        InputError: for a missing column.
    """
    path = user_path(source)
    suffix = _suffix(path)
    if not path.is_file():
        raise DataFileError(f"There is no file '{path}'.")
    if suffix in (".npy", ".npz"):
        if keep:
            raise InputError(f"'{path}' has no named columns, so '{keep[0]}' cannot be kept.")
        parts: Iterator[tuple[Any, Any]] = ((rows, None) for rows in _arrays(path))
    else:
        parts = _frames(path, suffix, inputs, keep, separator)
    first_row = 0
    with _as_data_file_error(path):
        for rows, kept in parts:
            if len(rows):
                yield FileBatch(rows, first_row, kept)
            first_row += len(rows)
    if not first_row:
        raise DataFileError(f"'{path}' has no rows.")


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InputError(f"'{path}' must be a file whose name ends in {', '.join(SUFFIXES)}.")


@contextlib.contextmanager
def _as_data_file_error(path: Path) -> Iterator[None]:
    """Turn errors from reading a damaged file into a DataFileError."""
    try:
        yield
    except (pl.exceptions.PolarsError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise DataFileError(
            f"'{path}' is damaged or not of the format of its name: {reason}."
        ) from None


def _frames(
    path: Path, suffix: str, inputs: InputEncoding, keep: Sequence[str], separator: str | None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Iterate over (the model's columns, those to keep)."""
    if suffix == ".parquet":
        lazy = pl.scan_parquet(path, glob=False)
        needed = _needed(path, lazy.collect_schema().names(), inputs, keep)
        chunks = lazy.select(list(dict.fromkeys([*needed, *keep]))).collect_batches(
            chunk_size=BATCH, maintain_order=True, lazy=True
        )
        for chunk in chunks:
            yield chunk.select(needed), chunk.select(keep)
        return
    header = isinstance(inputs, ArrayEncoding) or inputs.header
    usual = "" if isinstance(inputs, ArrayEncoding) else inputs.separator
    text = TextOptions(separator=separator, needed=tuple(feature_names(inputs)), usual=usual)
    form = read_fitting_format(path, text, header)
    if "" in feature_names(inputs):
        form = with_unnamed(path, form, form.unnamed[:1])
    names = [name for name in form.names if name == "" or name not in form.unnamed]
    needed = _needed(path, names, inputs, keep)
    numeric = _numeric_columns(inputs, needed, keep)
    types = {
        name: pl.Float64 if name in numeric else pl.String
        for name in dict.fromkeys([*needed, *keep])
    }
    for frame in ahead(stream_delimited(path, form, types, PIECE)):
        yield frame.select(trimmed(frame.get_column(name)) for name in needed), frame.select(keep)


def ahead(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """Produce the items in a background thread, up to `depth` in advance."""
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    unwanted = threading.Event()

    def hand_over(item: Item | None, error: BaseException | None = None) -> None:
        while not unwanted.is_set():
            with contextlib.suppress(queue.Full):
                return waiting.put((item, error), timeout=0.1)

    def work() -> None:
        try:
            for item in items:
                hand_over(item)
                if unwanted.is_set():
                    return
            hand_over(None)
        except BaseException as error:
            hand_over(None, error)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        unwanted.set()


def need_columns(names: Sequence[str], found: Sequence[str], where: str) -> None:
    """Raise InputError for the first missing column, with the nearest existing name."""
    for name in names:
        if name not in found:
            hint = str(UnknownNameError("column", name, found)).partition(".")[2]
            raise InputError(f"{where} has no column '{name}', which the model needs.{hint}")


def feature_names(inputs: InputEncoding) -> Sequence[str]:
    """Return the columns that a model needs; empty if its features have no names."""
    return inputs.feature_names if isinstance(inputs, ArrayEncoding) else inputs.column_names


def _needed(
    path: Path, names: Sequence[str], inputs: InputEncoding, keep: Sequence[str]
) -> list[str]:
    """Return the names of the model's columns."""
    for name in keep:
        if name not in names:
            raise InputError(f"'{path}' has no column '{name}' to keep; it has {_list(names)}.")
    features = list(feature_names(inputs)) or [name for name in names if name not in keep]
    need_columns(features, names, f"'{path}'")
    if len(features) != inputs.n_features and isinstance(inputs, ArrayEncoding):
        raise InputError(
            f"'{path}' has {len(features)} columns of features, but the model takes"
            f" {inputs.n_features}."
        )
    return features


def _numeric_columns(
    inputs: InputEncoding, needed: Sequence[str], keep: Sequence[str]
) -> list[str]:
    """Return the columns that can be read as numbers directly; kept columns stay text."""
    if isinstance(inputs, ArrayEncoding):
        names = list(needed)
    else:
        plain = [c for c in inputs.numeric if c.form == TextForm()]
        names = [c.name for c in plain if not c.boolean and not c.part]
    return [name for name in names if name not in keep]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, …" if len(names) > 12 else shown


def _arrays(path: Path) -> Iterator[np.ndarray]:
    """Iterate over the rows of an .npy file, or of x in an .npz file, without unpickling."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            yield from _array_rows(path, file)
        return
    with zipfile.ZipFile(path) as archive:
        present = [key for key in _ARRAY_KEYS if f"{key}.npy" in archive.namelist()]
        if not present:
            raise InputError(f"'{path}' needs the key x or x_test.")
        with archive.open(f"{present[-1]}.npy") as file:
            yield from _array_rows(path, file)


def _array_rows(path: Path, file: Any) -> Iterator[np.ndarray]:
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(file)
    except (ValueError, KeyError) as error:
        raise DataFileError(f"'{path}' is damaged or no NumPy array: {error}.") from None
    if dtype.hasobject:
        raise InputError(f"'{path}' is an object array, which needs pickle: save it as numbers.")
    if len(shape) < 2:
        raise InputError(f"'{path}' must hold rows (N, features), not shape {shape}.")
    if fortran:  # its rows are not contiguous
        data = file.read(math.prod(shape) * dtype.itemsize)
        if len(data) < math.prod(shape) * dtype.itemsize:
            raise DataFileError(f"'{path}' is truncated: it has fewer than {shape[0]} rows.")
        whole = np.frombuffer(data, dtype).reshape(shape, order="F")
        for start in range(0, shape[0], BATCH):
            yield np.ascontiguousarray(whole[start : start + BATCH])
        return
    size = int(np.prod(shape[1:])) * dtype.itemsize
    for start in range(0, shape[0], BATCH):
        n = min(BATCH, shape[0] - start)
        data = file.read(n * size)
        if len(data) < n * size:
            raise DataFileError(f"'{path}' is truncated: it has fewer than {shape[0]} rows.")
        yield np.frombuffer(data, dtype).reshape(n, *shape[1:])
