"""The order of an epoch on the host: of all rows, or of blocks and of the rows in a window of them.

`permuted` is the permutation of `training/engine/shuffle.py` in NumPy: the same rows for the same
sixteen numbers, so that rows that stream from the host come as they would lie on the device. Every
order here is computed place by place: what stands at a place needs no list of what stands before.

N rows, K blocks, L shards, M pieces, W windows, S places asked for.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt32

ROUNDS = 16
MOST_ROWS = 2**31 - 1
_BLOCKS, _WINDOWS = 0, 1  # what derived keys are for: the order of blocks, that inside of windows


def permuted(
    keys: UInt32[np.ndarray, " 16"], places: Int64[np.ndarray, " S"], n: int
) -> Int64[np.ndarray, " S"]:
    """The rows that stand at these places of the permutation of 0 … n−1 that `keys` name.

    keys: `jax.random.bits(key, (16,), jnp.uint32)` for what `permuted` there makes of `key`.
    places: below n, which is at most MOST_ROWS.
    """
    wide = math.isqrt(n - 1) + 1
    high = -(-n // wide)

    def through(place: np.ndarray) -> np.ndarray:
        v, u = np.divmod(place, np.uint32(wide))
        for number in range(0, ROUNDS, 2):
            u = _shifted(u, v, keys[number], wide)
            v = _shifted(v, u, keys[number + 1], high)
        return v * np.uint32(wide) + u

    rows = through(places.astype(np.uint32))
    outside = np.flatnonzero(rows >= n)
    while outside.size:
        rows[outside] = through(rows[outside])
        outside = outside[rows[outside] >= n]
    return rows.astype(np.int64)


def keys_of(seed: int, epoch: int) -> UInt32[np.ndarray, " 16"]:
    """Sixteen numbers for an epoch of a seed, where no key of a training run names them."""
    return np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint32)


def derived(keys: UInt32[np.ndarray, " 16"], *numbers: int) -> UInt32[np.ndarray, " 16"]:
    """Sixteen other numbers for a part of the order that these numbers name."""
    for number in numbers:
        keys = _mixed(_mixed(keys, np.uint32(number)), np.arange(ROUNDS, dtype=np.uint32))
    return keys


class Pieces(NamedTuple):
    """Rows one after the other, in M parts of blocks.

    blocks (M,): which block each is of. firsts (M,): its first row. ends (M,): the place behind its
    last row, from 0 at the first row of the first piece.
    """

    blocks: Int64[np.ndarray, " M"]
    firsts: Int64[np.ndarray, " M"]
    ends: Int64[np.ndarray, " M"]


def shard_starts(n: int, n_shards: int) -> Int64[np.ndarray, " L1"]:
    """(L + 1,): where the shards begin that n rows are cut into, and n. They differ by a row."""
    return np.cumsum([0, *((n + n_shards - 1 - np.arange(n_shards)) // n_shards)])


def shard_pieces(
    keys: UInt32[np.ndarray, " 16"],
    block_starts: Int64[np.ndarray, " K1"],
    number: int = 0,
    n_shards: int = 1,
) -> Pieces:
    """A shard of an epoch: its blocks one after the other, in random order, are cut into shards.

    A block where two shards meet is read for both. block_starts (K + 1,): first rows, and N.
    """
    n_blocks = len(block_starts) - 1
    blocks = permuted(derived(keys, _BLOCKS), np.arange(n_blocks), n_blocks)
    ends = np.cumsum(np.diff(block_starts)[blocks])
    begins = np.concatenate([[0], ends[:-1]])
    first, last = shard_starts(int(ends[-1]), n_shards)[number : number + 2]
    chosen = np.flatnonzero((begins < last) & (ends > first))
    skipped = np.maximum(first - begins[chosen], 0)
    return Pieces(
        blocks[chosen],
        block_starts[blocks[chosen]] + skipped,
        np.minimum(ends[chosen], last) - first,
    )


class Windows(NamedTuple):
    """The order of a shard: so many pieces at a time, their rows shuffled.

    starts: the place at which each window begins, and that behind the last.
    """

    keys: UInt32[np.ndarray, " 16"]
    size: int
    pieces: Pieces
    starts: Int64[np.ndarray, " W1"]

    def blocks(self, number: int) -> Int64[np.ndarray, " M"]:
        """The blocks of a window; none behind the last."""
        return self.pieces.blocks[number * self.size : (number + 1) * self.size]


def windows(keys: UInt32[np.ndarray, " 16"], pieces: Pieces, size: int, number: int = 0) -> Windows:
    """The windows of shard `number`, `size` pieces each."""
    n_pieces = len(pieces.ends)
    last = np.minimum(np.arange(size, n_pieces + size, size), n_pieces) - 1
    starts = np.concatenate([[0], pieces.ends[last]])
    return Windows(derived(keys, _WINDOWS, number), size, pieces, starts)


def rows_of_windows(order: Windows, places: Int64[np.ndarray, " S"]) -> Int64[np.ndarray, " S"]:
    """The rows at these places: each window is a permutation of the rows of its pieces."""
    rows = np.empty(len(places), np.int64)
    numbers = np.searchsorted(order.starts, places, side="right") - 1
    for number in np.unique(numbers):
        here = numbers == number
        start, stop = order.starts[number : number + 2]
        inside = permuted(derived(order.keys, int(number)), places[here] - start, int(stop - start))
        window = slice(number * order.size, (number + 1) * order.size)
        firsts, ends = order.pieces.firsts[window], order.pieces.ends[window] - start
        at = np.searchsorted(ends, inside, side="right")
        begins = np.concatenate([[0], ends[:-1]])
        rows[here] = firsts[at] + inside - begins[at]
    return rows


def _mixed(x: np.ndarray, key: np.ndarray | np.uint32) -> np.ndarray:
    """32 bits that depend on all bits of x and of the key (the finalizer of MurmurHash3)."""
    x = (x + key) * np.uint32(0x9E3779B1)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _shifted(u: np.ndarray, v: np.ndarray, key: np.uint32, bound: int) -> np.ndarray:
    """u + F(v) mod bound, for u < bound and bound ≤ 2¹⁶."""
    bits = _mixed(v, key)
    high, low = bits >> np.uint32(16), bits & np.uint32(0xFFFF)
    b = np.uint32(bound)
    total = u + ((high * b + ((low * b) >> np.uint32(16))) >> np.uint32(16))
    return np.where(total >= b, total - b, total)
