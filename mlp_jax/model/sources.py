"""Rows of a file, batch by batch, in constant memory: CSV, TSV, Parquet, NPY, NPZ.

Rows count from 0, without the header.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.encoding import ArrayEncoding, InputEncoding
from mlp_jax.errors import DataFileError, InputError
from mlp_jax.model.rows import need_columns

BATCH = 1 << 16
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
_ARRAY_KEYS = ("x", "X", "x_test", "X_test")
SUFFIXES = (*_DELIMITERS, ".parquet", ".npy", ".npz")


class Batch(NamedTuple):
    """Some rows: columns (a polars DataFrame) or an array, and the number of the first."""

    rows: Any
    first_row: int


def batches(
    source: str | os.PathLike[str], inputs: InputEncoding, keep: Sequence[str] = ()
) -> Iterator[Batch]:
    """The columns that a model needs, and those to `keep`, in the order of the file's rows.

    Where a model's features have no names, all columns but the kept ones are its features, in
    order. Raises DataFileError for a file that is missing, empty or damaged, and InputError for a
    column that is missing.
    """
    path = Path(source).expanduser()
    suffix = _suffix(path)
    if not path.is_file():
        raise DataFileError(f"There is no file '{path}'.")
    if suffix in (".npy", ".npz"):
        if keep:
            raise InputError(f"'{path}' has no named columns, so '{keep[0]}' cannot be kept.")
        parts: Iterator[Any] = _arrays(path)
    else:
        parts = _frames(path, suffix, inputs, keep)
    first_row = 0
    with _as_data_file_error(path):
        for rows in parts:
            if len(rows):
                yield Batch(rows, first_row)
            first_row += len(rows)
    if not first_row:
        raise DataFileError(f"'{path}' has no rows.")


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InputError(f"'{path}' must be a file whose name ends in {', '.join(SUFFIXES)}.")


@contextmanager
def _as_data_file_error(path: Path) -> Iterator[None]:
    """Turns what reading a damaged file raises into a DataFileError in one sentence."""
    try:
        yield
    except pl.exceptions.NoDataError:
        raise DataFileError(f"'{path}' is empty.") from None
    except (pl.exceptions.PolarsError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise DataFileError(f"'{path}' is damaged or not what its name says: {reason}.") from None


def _frames(
    path: Path, suffix: str, inputs: InputEncoding, keep: Sequence[str]
) -> Iterator[pl.DataFrame]:
    if suffix == ".parquet":
        lazy = pl.scan_parquet(path)
        yield from _batches_of(lazy.select(_wanted(path, lazy, inputs, keep)))
        return
    scan: dict[str, Any] = {"separator": _DELIMITERS[suffix], "infer_schema": False}
    text = pl.scan_csv(path, **scan)
    wanted = _wanted(path, text, inputs, keep)
    numeric = dict.fromkeys(_numeric_columns(inputs, wanted, keep), pl.Float64)
    done = 0
    try:
        for frame in _batches_of(
            pl.scan_csv(path, schema_overrides=numeric, **scan).select(wanted)
        ):
            yield frame
            done += len(frame)
    except pl.exceptions.ComputeError as error:
        if "could not parse" not in str(error):
            raise
        # Numbers with spaces or words for missing ones: as text, which the encoding understands.
        yield from _batches_of(text.select(wanted).slice(done))


def _batches_of(lazy: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    return iter(lazy.collect_batches(chunk_size=BATCH, maintain_order=True, lazy=True))


def _wanted(
    path: Path, lazy: pl.LazyFrame, inputs: InputEncoding, keep: Sequence[str]
) -> list[str]:
    """The names of the columns to read: the model's, then those that are kept besides."""
    names = lazy.collect_schema().names()
    twice = [name for name in names if f"{name}_duplicated_0" in names]
    if twice:
        raise InputError(f"'{path}' has two columns named '{twice[0]}'.")
    for name in keep:
        if name not in names:
            raise InputError(f"'{path}' has no column '{name}' to keep; it has {_list(names)}.")
    if isinstance(inputs, ArrayEncoding):
        features = list(inputs.feature_names) or [name for name in names if name not in keep]
    else:
        features = list(inputs.column_names)
    need_columns(features, names, f"'{path}'")
    if len(features) != inputs.n_features and isinstance(inputs, ArrayEncoding):
        raise InputError(
            f"'{path}' has {len(features)} columns of features, but the model takes"
            f" {inputs.n_features}."
        )
    return [*features, *(name for name in keep if name not in features)]


def _numeric_columns(
    inputs: InputEncoding, wanted: Sequence[str], keep: Sequence[str]
) -> list[str]:
    """The columns that can be read as numbers at once; what is kept is kept as it is written."""
    if isinstance(inputs, ArrayEncoding):
        names = list(inputs.feature_names) or list(wanted)
    else:
        names = [c.name for c in inputs.numeric if not c.boolean and not c.part]
    return [name for name in names if name not in keep]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, …" if len(names) > 12 else shown


def _arrays(path: Path) -> Iterator[np.ndarray]:
    """The rows of an .npy file, or of x in an .npz file; object arrays are never unpickled."""
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
        raise InputError(f"'{path}' is an object array, which only a pickle can hold.")
    if len(shape) < 2 or fortran:
        raise InputError(
            f"'{path}' must hold rows (N, features) in C order, not shape {shape}"
            f"{' in Fortran order' if fortran else ''}."
        )
    size = int(np.prod(shape[1:])) * dtype.itemsize
    for start in range(0, shape[0], BATCH):
        n = min(BATCH, shape[0] - start)
        data = file.read(n * size)
        if len(data) < n * size:
            raise DataFileError(f"'{path}' is cut off: it has less than its {shape[0]} rows.")
        yield np.frombuffer(data, dtype).reshape(n, *shape[1:])
