"""Some rows of a source: those to train on, or those held out.

Which they are is held in memory: four bytes a row of arrays, one a row of a table.

Letters: N rows of the whole, M rows asked for, K blocks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from mlp_jax.data.streams.arrays import ArraySource
from mlp_jax.data.streams.frames import Frames
from mlp_jax.data.streams.source import Rows
from mlp_jax.errors import InputError


class ArrayPart:
    """The rows of an ArraySource where `chosen` (N,) is true, in their order."""

    def __init__(self, source: ArraySource, chosen: Bool[np.ndarray, " N"]) -> None:
        _check(source.name, len(source), chosen)
        self._source = source
        self._rows = np.flatnonzero(chosen).astype(np.uint32)
        self.name, self.n_features = source.name, source.n_features
        self.classes, self.image_shape = source.classes, source.image_shape

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """These rows of the part in this order."""
        return self._source.read(self._rows[rows].astype(np.int64))


class FramesPart:
    """The rows of a table where `chosen` (N,) is true; messages count the rows of the part."""

    def __init__(self, frames: Frames, chosen: Bool[np.ndarray, " N"]) -> None:
        _check(frames.name, int(frames.starts[-1]), chosen)
        counts = np.add.reduceat(chosen.astype(np.int64), frames.starts[:-1])
        self._frames, self._chosen = frames, chosen
        self._blocks = np.flatnonzero(counts)
        self.starts = np.concatenate([[0], np.cumsum(counts[self._blocks])])
        self.name, self.header = frames.name, frames.header
        self.schema: dict[str, Any] = frames.schema

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the chosen rows of a block."""
        block = int(self._blocks[number])
        start, stop = self._frames.starts[block : block + 2]
        frame = self._frames.read(block, columns)
        return frame.filter(pl.Series(self._chosen[start:stop]))


def _check(name: str, n_rows: int, chosen: np.ndarray) -> None:
    if len(chosen) != n_rows:
        raise InputError(f"'{name}' has {n_rows} rows, but {len(chosen)} were chosen from.")
    if not chosen.any():
        raise InputError(f"No row of '{name}' is chosen.")
