"""What a stream reads from: rows that can be had in any order, or blocks of rows that are read
whole.

Letters: N rows, M of them asked for, K blocks, I features, C outputs.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Shaped


class Rows(NamedTuple):
    """x (M, I) uint8, float32 or float64; y (M,) int32 labels, or (M,) or (M, C) floats."""

    x: Shaped[np.ndarray, "M I"]
    y: np.ndarray


@runtime_checkable
class RowSource(Protocol):
    """N rows, of which any are read at little more than the cost of their bytes."""

    @property
    def name(self) -> str:
        """What messages call it."""

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
        """What messages call it."""

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
