"""Some rows of a source held out, and the source of all the others.

Which they are takes eight bytes for each row held out, and nothing for the others.

Letters: N rows of the whole, H of them held out, M rows asked for, K blocks.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from mlp_jax.data.source import Rows
from mlp_jax.data.streams.arrays import ArraySource
from mlp_jax.data.streams.frames import Frames
from mlp_jax.data.streams.order import keys_of, permuted
from mlp_jax.data.tables.columns import RowNumbers
from mlp_jax.errors import InputError

_HELD_OUT = 2**32 - 1  # the epoch whose order chooses the rows to hold out: there is none such


def drawn_rows(n_rows: int, counts: Sequence[int], seed: int) -> list[Int64[np.ndarray, " H"]]:
    """So many of the rows for each count, at random, disjoint and each in order."""
    places = permuted(keys_of(seed, _HELD_OUT), np.arange(sum(counts)), n_rows)
    ends = np.cumsum([0, *counts])
    return [np.sort(places[a:b]) for a, b in pairwise(ends)]


class ArrayPart:
    """The rows of an ArraySource but for those held out (H,), which are in order."""

    def __init__(self, source: ArraySource, held_out: Int64[np.ndarray, " H"]) -> None:
        _check(source.name, len(source), held_out)
        self._source = source
        self._before = held_out - np.arange(len(held_out))  # rows of the part before each
        self._n = len(source) - len(held_out)
        self.name, self.n_features = source.name, source.n_features
        self.classes, self.image_shape = source.classes, source.image_shape
        self.label_type = source.label_type

    def __len__(self) -> int:
        return self._n

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """These rows of the part in this order."""
        return self._source.read(self.numbers(rows))

    def numbers(self, rows: Int64[np.ndarray, " M"]) -> Int64[np.ndarray, " M"]:
        """Which rows of the source these are."""
        return rows + np.searchsorted(self._before, rows, side="right")


class FramesPart:
    """The rows of a table but for those held out (H,), which are in order."""

    def __init__(self, frames: Frames, held_out: Int64[np.ndarray, " H"]) -> None:
        starts = frames.starts
        _check(frames.name, int(starts[-1]), held_out)
        self._frames, self._held_out = frames, held_out
        self._ends = np.searchsorted(held_out, starts)
        counts = np.diff(starts) - np.diff(self._ends)
        self._blocks = np.flatnonzero(counts)
        self.starts = np.concatenate([[0], np.cumsum(counts[self._blocks])])
        self.name, self.header, self.written = frames.name, frames.header, frames.written
        self.separator = frames.separator
        self.schema: dict[str, Any] = frames.schema

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the rows of a block that are not held out."""
        return self._parted(int(self._blocks[number]), columns)[0]

    def numbers(self, number: int) -> RowNumbers:
        """Return the numbers of a block's rows in the table, for messages."""
        block = int(self._blocks[number])
        start, stop = self._frames.starts[block : block + 2]
        first, last = self._ends[block : block + 2]
        return np.delete(np.arange(start, stop), self._held_out[first:last] - start)

    def _parted(self, block: int, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """A block of the table as the rows of the part and those held out."""
        frame = self._frames.read(block, columns)
        first, last = self._ends[block : block + 2]
        inside = self._held_out[first:last] - self._frames.starts[block]
        if not len(inside):
            return frame, frame.clear()
        held = np.zeros(frame.height, bool)
        held[inside] = True
        return frame.filter(pl.Series(~held)), frame.filter(pl.Series(held))


class HeldOut(FramesPart):
    """A part that keeps the rows held out of the blocks that it reads, as far as they are few.

    What takes more than `most` bytes is read again, block by block.
    """

    def __init__(self, frames: Frames, held_out: Int64[np.ndarray, " H"], most: int) -> None:
        super().__init__(frames, held_out)
        self._found: dict[int, pl.DataFrame] = {}
        self._room = most

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """As `FramesPart` does."""
        block = int(self._blocks[number])
        rest, held = self._parted(block, columns)
        self._room -= int(held.estimated_size())
        if len(held) and self._room >= 0:
            self._found[block] = held
        return rest

    def rows(
        self, columns: Sequence[str], *, again: bool = False
    ) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
        """(their numbers, these columns) of the rows held out, block by block, in order.

        again: whether they will be asked for once more, so that they stay in memory.
        """
        for block in np.flatnonzero(np.diff(self._ends)).tolist():
            kept = self._found.get(block) if again else self._found.pop(block, None)
            if kept is None or not set(columns) <= set(kept.columns):
                kept = self._parted(block, columns)[1]
            first, last = self._ends[block : block + 2]
            yield self._held_out[first:last], kept.select(list(columns))


def _check(name: str, n_rows: int, held_out: np.ndarray) -> None:
    if len(held_out) >= n_rows:
        raise InputError(f"All {n_rows} rows of '{name}' are held out: none is left to train on.")
