"""The batches of an epoch from a source on disk, read ahead by threads of Grain.

Batch k of an epoch is a function of the source, the batch size, the shards, the sixteen numbers
that name the epoch's order, and k. It does not depend on where the epoch was resumed, how many
processes share it, or how far it is read ahead. A RowSource comes in the order that the same rows
would have on the device; a BlockSource in the order of windows (see `order.py`).

Letters: N rows, B in a batch, P processes, L shards, S batches in a stack, I features.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt32

from mlp_jax.data.source import BlockSource, Rows, Source
from mlp_jax.data.streams.blocks import WindowReader
from mlp_jax.data.streams.order import MOST_ROWS, permuted, shard_pieces, shard_starts, windows
from mlp_jax.errors import InputError

_WINDOW_BYTES = 3 << 26
_DECODERS = 2  # threads that read blocks, of all shards


class Stack(NamedTuple):
    """S batches of an epoch, from its batch `first` on, as far as they are this process's.

    x (S, B/P, I) as stored; y (S, B/P) or (S, B/P, C); weights (S, B/P): 1, or 0 for a row that
    fills up the epoch's last batch.
    """

    first: int
    x: Shaped[np.ndarray, "S B I"]
    y: np.ndarray
    weights: Float32[np.ndarray, "S B"]


@dataclass(frozen=True, eq=False)
class Stream:
    """A source as batches. Raises InputError for sizes that cannot be.

    A source of blocks is read in shards side by side, and every batch takes B/L rows of each, so
    that a process reads only the blocks of its shards: as many shards as processes, or a
    multiple. The rows of a batch depend on the shards, not on the processes.

    batch_size: rows of all processes together. process, n_processes: this one takes the rows
    [process·B/P, (process+1)·B/P) of every batch. steps: batches in a stack. ahead: stacks that are
    read before they are asked for; threads: that read them, a stack each. window: blocks of a shard
    that are shuffled together, None for what 192 MiB hold in all shards; two windows are in memory,
    and the order depends on it.
    """

    source: Source
    batch_size: int
    process: int = 0
    n_processes: int = 1
    steps: int = 1
    ahead: int = 8
    threads: int = 4
    window: int | None = None
    shards: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "n_processes", "steps", "ahead", "threads", "window", "shards"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, but is {value}.")
        if not 0 <= self.process < self.n_processes:
            raise InputError(f"Of {self.n_processes} processes there is no process {self.process}.")
        if self.batch_size % self.n_processes:
            raise InputError(
                f"Batches of {self.batch_size} rows cannot be shared by {self.n_processes}"
                " processes evenly."
            )
        if not 0 < len(self.source) <= MOST_ROWS:
            raise InputError(
                f"'{self.source.name}' has {len(self.source)} rows; a stream takes 1 to"
                f" {MOST_ROWS}."
            )
        if self.batch_size % self.n_shards or self.n_shards > len(self.source):
            raise InputError(
                f"Batches of {self.batch_size} of {len(self.source)} rows cannot be taken evenly"
                f" from {self.shards} shards."
            )

    @property
    def n_shards(self) -> int:
        """The shards: one where any row can be read alone."""
        return self.shards if isinstance(self.source, BlockSource) else 1

    @property
    def n_batches(self) -> int:
        """The batches of an epoch."""
        return -(-len(self.source) // self.batch_size)

    def epoch(self, keys: UInt32[np.ndarray, " 16"], first: int = 0) -> "Epoch":
        """The stacks of the epoch whose order `keys` name, from its batch `first` on.

        keys: `jax.random.bits(key, (16,), jnp.uint32)` for the order that `permuted` of
        `training/engine/shuffle.py` makes of `key`; or `keys_of(seed, epoch)`.
        """
        if not 0 <= first <= self.n_batches:
            raise InputError(f"An epoch of {self.n_batches} batches cannot start at batch {first}.")
        return Epoch(_Stacks(self, keys, first), self.ahead, self.threads)


def _size(stream: Stream, source: BlockSource) -> int:
    """The blocks of a shard's window."""
    if stream.window is not None:
        return stream.window
    block_bytes = 4 * source.n_features * len(source) / (len(source.starts) - 1)
    least = 2 if stream.n_shards == 1 else 1
    return max(least, int(_WINDOW_BYTES / (stream.n_shards * block_bytes)))


class Epoch(Iterator[Stack]):
    """The stacks of an epoch, once. Close it, or leave its `with`, if it is not used up.

    waited: seconds that whoever takes the stacks has waited for them so far.
    """

    def __init__(self, stacks: "_Stacks", ahead: int, threads: int) -> None:
        import grain

        self._stacks = stacks
        self.waited = 0.0
        options = grain.ReadOptions(num_threads=min(threads, ahead), prefetch_buffer_size=ahead)
        self._reading: Any = iter(grain.MapDataset.source(stacks).to_iter_dataset(options))

    def __next__(self) -> Stack:
        start = time.perf_counter()
        try:
            return next(self._reading)
        except StopIteration:
            self.close()
            raise
        finally:
            self.waited += time.perf_counter() - start

    def __enter__(self) -> "Epoch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading ahead."""
        self._reading.close()
        self._stacks.close()


class _Stacks:
    """The stacks from a batch on, by number: a data source for Grain."""

    def __init__(self, stream: Stream, keys: np.ndarray, first: int) -> None:
        self._stream, self._keys, self._first = stream, keys, first
        share, rows_per_shard = stream.batch_size // stream.n_processes, self._in_a_shard
        own = stream.process * share + np.arange(share)  # places in a batch
        self._shards, self._inside = np.divmod(own, rows_per_shard)
        self._lengths = np.diff(shard_starts(len(stream.source), stream.n_shards))
        self._readers: dict[int, WindowReader] = {}
        self._pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="blocks")
        source = stream.source
        if isinstance(source, BlockSource):
            size = _size(stream, source)
            for number in np.unique(self._shards).tolist():
                pieces = shard_pieces(keys, source.starts, number, stream.n_shards)
                order = windows(keys, pieces, size, number)
                self._readers[number] = WindowReader(source, order, self._pool)

    def __len__(self) -> int:
        return -(-(self._stream.n_batches - self._first) // self._stream.steps)

    def __getitem__(self, number: int) -> Stack:
        stream = self._stream
        first = self._first + number * stream.steps
        batches = np.arange(first, min(first + stream.steps, stream.n_batches))
        places = batches[:, None] * self._in_a_shard + self._inside  # in their shards
        weights = (places < self._lengths[self._shards]).astype(np.float32)
        return Stack(first, *self._read(places), weights)

    @property
    def _in_a_shard(self) -> int:
        """Number of rows of a batch from each shard."""
        return self._stream.batch_size // self._stream.n_shards

    def _read(self, places: Int64[np.ndarray, "S B"]) -> Rows:
        """Return the rows at these places, (S, B, …); after a shard's last row they repeat."""
        source, n = self._stream.source, len(self._stream.source)
        if not isinstance(source, BlockSource):
            return _stacked(source.read(permuted(self._keys, places.reshape(-1) % n, n)), places)
        found = []
        for number, reader in self._readers.items():
            own = places[:, self._shards == number]
            last = self._lengths[number] - 1  # again, for it is of a block that is there
            found.append(_stacked(reader.read(np.minimum(own, last).reshape(-1)), own))
        if len(found) == 1:
            return found[0]
        return Rows(*(np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for reader in self._readers.values():
            reader.close()


def _stacked(rows: Rows, places: Int64[np.ndarray, "S B"]) -> Rows:
    """Rows (SB, …) as (S, B, …)."""
    return Rows(*(values.reshape(*places.shape, *values.shape[1:]) for values in rows))
