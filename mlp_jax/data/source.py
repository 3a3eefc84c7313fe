"""Rows that stay in files: any that can be had in any order, or blocks that are read whole.

Letters: N rows, M of them asked for, K blocks, I features, C outputs.
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
    """x (M, I) uint8, float32 or float64; y (M,) int32 labels, or (M,) or (M, C) floats."""

    x: Shaped[np.ndarray, "M I"]
    y: np.ndarray


@runtime_checkable
class RowSource(Protocol):
    """N rows, of which any are read at little more than the cost of their bytes."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def n_features(self) -> int:
        """I."""

    def __len__(self) -> int:
        """N."""

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """These rows in this order; called by several threads at once."""


@runtime_checkable
class BlockSource(Protocol):
    """N rows in K blocks; a row costs its block."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def n_features(self) -> int:
        """I."""

    @property
    def starts(self) -> Int64[np.ndarray, " K1"]:
        """(K + 1,): the first row of each block, and N. No block is empty."""

    def __len__(self) -> int:
        """N."""

    def read_block(self, number: int) -> Rows:
        """The rows of a block in their order; called by several threads at once."""


Source = RowSource | BlockSource


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows that stay in their files and are read as training needs them.

    fingerprint: tells these files from others, "" where none was taken. shards: of a source of
    blocks, how many are read side by side, as far as they divide a batch evenly; processes that
    train together each read separate shards, if these are a multiple of those. The order
    depends on it.
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
        """A few of the rows, by which a training sees what they are."""
        return some_rows(self, _FEW)


def some_rows(rows: Split | Streamed, most: int) -> Split:
    """At most so many rows, evenly spaced: of all, or of the first block where blocks are read."""
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


class Converted:
    """A source of blocks whose rows pass through a function as they are read."""

    def __init__(self, source: BlockSource, function: Callable[[Rows], Rows]) -> None:
        self._source, self._function = source, function
        self.name, self.n_features, self.starts = source.name, source.n_features, source.starts

    def __len__(self) -> int:
        return len(self._source)

    def read_block(self, number: int) -> Rows:
        """The rows of a block, converted."""
        return self._function(self._source.read_block(number))


class ConvertedRows:
    """A source of rows that pass through a function as they are read."""

    def __init__(self, source: RowSource, function: Callable[[Rows], Rows]) -> None:
        self._source, self._function = source, function
        self.name, self.n_features = source.name, source.n_features

    def __len__(self) -> int:
        return len(self._source)

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """These rows in this order, converted."""
        return self._function(self._source.read(rows))


def converted(source: Source, function: Callable[[Rows], Rows]) -> Source:
    """The source with its rows passed through a function, in the threads that read them."""
    if isinstance(source, BlockSource):
        return Converted(source, function)
    return ConvertedRows(source, function)
