"""Rows that stay in files, with random access or in blocks.

Letters: N rows, M requested rows, K blocks, I features, C outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Shaped

from mlp_jax.data.dataset import Split
from mlp_jax.errors import InputError

SHARDS = 4
_FEW = 8


class Rows(NamedTuple):
    """x (M, I) uint8, float32 or float64; y int32 labels (M,), or floats (M,) or (M, C)."""

    x: Shaped[np.ndarray, "M I"]
    y: np.ndarray


@runtime_checkable
class RowSource(Protocol):
    """N rows with random access, at little more than the cost of their bytes."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    def __len__(self) -> int:
        """N."""

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """Read these rows in this order; must be thread-safe."""


@runtime_checkable
class BlockSource(Protocol):
    """N rows in K blocks, each read as a whole."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    @property
    def starts(self) -> Int64[np.ndarray, " K1"]:
        """First row of each block, then N: (K + 1,). No block is empty."""

    def __len__(self) -> int:
        """N."""

    def read_block(self, number: int) -> Rows:
        """Read the rows of a block in order; must be thread-safe."""


Source = RowSource | BlockSource


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows that stay in their files and are read during training.

    Attributes:
        source: the files.
        fingerprint: identifies the files; "" if not computed.
        shards: number of blocks that are read side by side, if they divide a batch evenly.
            Processes that train together read separate shards if these are a multiple of them. The
            order depends on it.
    """

    source: Source
    fingerprint: str = ""
    shards: int = SHARDS

    def __post_init__(self) -> None:
        if self.shards < 1:
            raise InputError(f"Blocks are read in at least 1 shard, not {self.shards}.")

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def sample(self) -> Split:
        """A few of the rows, for types and shapes."""
        return some_rows(self, _FEW)


def some_rows(rows: Split | Streamed, most: int) -> Split:
    """Return at most `most` rows, evenly spaced over all rows, or over the first block."""
    if isinstance(rows, Split):
        chosen = _evenly(len(rows), most)
        return Split(rows.x[chosen], rows.y[chosen])
    source = rows.source
    if isinstance(source, BlockSource):
        x, y = source.read_block(0)
        chosen = _evenly(len(x), most)
        return Split(x[chosen], y[chosen])
    return Split(*source.read(_evenly(len(source), most)))


def _evenly(n: int, most: int) -> Int64[np.ndarray, " M"]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


class ConvertedBlocks:
    """A source of blocks with a function applied to its rows."""

    def __init__(self, source: BlockSource, function: Callable[[Rows], Rows]) -> None:
        self._source, self._function = source, function
        self.name, self.n_features, self.starts = source.name, source.n_features, source.starts

    def __len__(self) -> int:
        return len(self._source)

    def read_block(self, number: int) -> Rows:
        """Read and convert the rows of a block."""
        return self._function(self._source.read_block(number))


class ConvertedRows:
    """A source with random access and a function applied to its rows."""

    def __init__(self, source: RowSource, function: Callable[[Rows], Rows]) -> None:
        self._source, self._function = source, function
        self.name, self.n_features = source.name, source.n_features

    def __len__(self) -> int:
        return len(self._source)

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """Read and convert these rows in this order."""
        return self._function(self._source.read(rows))


def converted(source: Source, function: Callable[[Rows], Rows]) -> Source:
    """Return the source with a function applied to its rows, in the threads that read them."""
    if isinstance(source, BlockSource):
        return ConvertedBlocks(source, function)
    return ConvertedRows(source, function)
