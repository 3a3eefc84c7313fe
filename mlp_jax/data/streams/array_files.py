"""Rows of arrays in files, read in any order without keeping the files in memory.

Each row is read by a separate call. A mapped file would need none, but the pages that it brings
in count as the process's own, up to two megabytes for a row where the system keeps files in large
pieces: a few thousand rows bring in the whole file.

Letters: N rows of all files together, M rows asked for.
"""

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.lib.format import open_memmap

from mlp_jax.errors import DataFileError, InputError

_HELD_BYTES = 1 << 26  # what all files of an array may have to be held in memory whole


class FileLayout(NamedTuple):
    """Where the values of a file lie: rows of `dtype`, C order, from byte `offset` on."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int


def npy_layout(path: Path) -> FileLayout:
    """The layout of a .npy file, from its header.

    Raises DataFileError for a file that is missing, no .npy, or cut off, InputError for objects,
    for no rows, and for an array that does not hold its rows one after the other.
    """
    try:
        array = open_memmap(path, mode="r")
    except FileNotFoundError:
        raise DataFileError(f"There is no file '{path}'.") from None
    except (ValueError, EOFError, OSError) as error:
        if "object" in str(error).lower():
            raise InputError(
                f"'{path}' holds objects, which need pickle: save it as numbers."
            ) from None
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataFileError(f"'{path}' is a damaged .npy file: {reason}.") from None
    if not array.ndim or not array.size:
        raise InputError(f"'{path}' has no rows: its shape is {array.shape}.")
    if not array.flags.c_contiguous:
        raise InputError(
            f"'{path}' holds its columns one after another (Fortran order), so a row cannot be"
            " read alone: save np.ascontiguousarray of it."
        )
    return FileLayout(path, array.dtype, array.shape, array.offset)


class ArrayFiles:
    """The rows of files one after the other, each (…) of one shape and type."""

    def __init__(self, layouts: Sequence[FileLayout]) -> None:
        first = layouts[0]
        for layout in layouts[1:]:
            if (layout.dtype, layout.shape[1:]) != (first.dtype, first.shape[1:]):
                raise InputError(
                    f"'{layout.path}' holds rows of {layout.dtype} {layout.shape[1:]}, but"
                    f" '{first.path}' of {first.dtype} {first.shape[1:]}."
                )
        self._files = [_ArrayFile(layout) for layout in layouts]
        self._starts = np.cumsum([0, *(layout.shape[0] for layout in layouts)])
        self._held: np.ndarray | None = None
        self.dtype = first.dtype
        self.row_shape = first.shape[1:]
        if len(self) * self._files[0].row_bytes <= _HELD_BYTES:
            self._held = self._read(np.arange(len(self)))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: Int64[np.ndarray, " M"]) -> Shaped[np.ndarray, "M ..."]:
        """These rows in this order, in the byte order of the files."""
        return self._read(rows) if self._held is None else np.take(self._held, rows, axis=0)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if len(self._files) == 1:
            return self._files[0].read(rows)
        taken = np.empty((len(rows), *self.row_shape), self.dtype)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            here = numbers == number
            taken[here] = self._files[number].read(rows[here] - self._starts[number])
        return taken


class _ArrayFile:
    """One file, open for as long as this lives."""

    def __init__(self, layout: FileLayout) -> None:
        self._layout = layout
        self.row_bytes = math.prod(layout.shape[1:]) * layout.dtype.itemsize
        self._file = os.open(layout.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read rows of this file: each separately, or all at once if they are contiguous."""
        if not len(rows):
            return np.empty((0, *self._layout.shape[1:]), self._layout.dtype)
        file, size, offset = self._file, self.row_bytes, self._layout.offset
        data: bytes | bytearray
        if (np.diff(rows) == 1).all():
            data = _read_all(file, len(rows) * size, offset + int(rows[0]) * size)
        else:
            data = b"".join([os.pread(file, size, at) for at in (rows * size + offset).tolist()])
        if len(data) != len(rows) * size:
            raise DataFileError(f"'{self._layout.path}' was truncated after it was opened.")
        return np.frombuffer(data, self._layout.dtype).reshape(len(rows), *self._layout.shape[1:])


def _read_all(file: int, size: int, offset: int) -> bytearray:
    """`size` bytes from `offset` on, or as many as there are; a read gives at most 2 GiB."""
    data = bytearray(size)
    done, view = 0, memoryview(data)
    while done < size and (got := os.preadv(file, [view[done:]], offset + done)):
        done += got
    view.release()
    return data[:done] if done < size else data
