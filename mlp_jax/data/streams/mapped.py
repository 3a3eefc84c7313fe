"""Rows of arrays in files, read in any order without keeping the files in memory.

Pages of a mapped file count as the process's own until they are let go, so they are, after every
quarter of a gigabyte: the system keeps them cached, if it has room, and memory stays constant.

Letters: N rows of all files together, M rows asked for.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.lib.format import open_memmap

from mlp_jax.errors import DataFileError, InputError

_RELEASE_AFTER = 1 << 28  # bytes
_AROUND = 1 << 16  # bytes that the system maps around a row that it finds cached


class Layout(NamedTuple):
    """Where the values of a file lie: rows of `dtype`, C order, from byte `offset` on."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int


def npy_layout(path: Path) -> Layout:
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
                f"'{path}' holds objects, which only a pickle can: save it as numbers."
            ) from None
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataFileError(f"'{path}' is no whole .npy file: {reason}.") from None
    if not array.ndim or not array.size:
        raise InputError(f"'{path}' has no rows: its shape is {array.shape}.")
    if not array.flags.c_contiguous:
        raise InputError(
            f"'{path}' holds its columns one after the other (Fortran order), so that a row cannot"
            " be read alone: save np.ascontiguousarray of it."
        )
    return Layout(path, array.dtype, array.shape, array.offset)


class Mapped:
    """The rows of files one after the other, each (…) of one shape and type."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        first = layouts[0]
        for layout in layouts[1:]:
            if (layout.dtype, layout.shape[1:]) != (first.dtype, first.shape[1:]):
                raise InputError(
                    f"'{layout.path}' holds rows of {layout.dtype} {layout.shape[1:]}, but"
                    f" '{first.path}' of {first.dtype} {first.shape[1:]}."
                )
        self._layouts = tuple(layouts)
        self._maps = [_mapping(layout) for layout in layouts]
        self._arrays = [
            np.ndarray(layout.shape, layout.dtype, buffer=mapping, offset=layout.offset)
            for layout, mapping in zip(layouts, self._maps, strict=True)
        ]
        self._starts = np.cumsum([0, *(layout.shape[0] for layout in layouts)])
        self._touched = 0
        self.dtype = first.dtype
        self.row_shape = first.shape[1:]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: Int64[np.ndarray, " M"]) -> Shaped[np.ndarray, "M ..."]:
        """A copy of these rows in this order."""
        if len(self._arrays) == 1:
            return self._take(0, rows)
        taken = np.empty((len(rows), *self.row_shape), self.dtype)
        files = np.searchsorted(self._starts, rows, side="right") - 1
        for file in np.unique(files).tolist():
            here = files == file
            taken[here] = self._take(file, rows[here] - self._starts[file])
        return taken

    def _take(self, file: int, rows: np.ndarray) -> np.ndarray:
        """Rows of one file: from the mapping, or as one piece where they are one."""
        layout, array = self._layouts[file], self._arrays[file]
        row_bytes = array[:1].nbytes
        if len(rows) > 1 and (np.diff(rows) == 1).all():
            values = np.fromfile(
                layout.path,
                layout.dtype,
                count=len(rows) * (row_bytes // layout.dtype.itemsize),
                offset=layout.offset + int(rows[0]) * row_bytes,
            )
            if values.nbytes != len(rows) * row_bytes:
                raise DataFileError(f"'{layout.path}' was cut off after it was opened.")
            return values.reshape(len(rows), *self.row_shape)
        taken = np.take(array, rows, axis=0)
        self._touched += len(rows) * (row_bytes + _AROUND)
        if self._touched > _RELEASE_AFTER:
            self._touched = 0
            self._release()
        return taken

    def _release(self) -> None:
        """Let the mapped pages go; a thread that reads one meanwhile finds it again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapping in self._maps:
                mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(layout: Layout) -> mmap.mmap:
    with layout.path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        mapping.madvise(mmap.MADV_RANDOM)  # the rows around one are not the next to be asked for
    return mapping
