"""The batches of an epoch from a source on disk, read ahead by threads of Grain.

Batch k of an epoch is a function of the source, the batch size, the sixteen numbers that name the
epoch's order, and k: not of where the epoch was taken up again, how many processes share it, or how
far it is read ahead. A RowSource comes in the order that the same rows would have on the device; a
BlockSource in the order of windows (see `order.py`).

Letters: N rows, B in a batch, P processes, S batches in a stack, I features.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt32

from mlp_jax.data.source import BlockSource, Rows, Source
from mlp_jax.data.streams.blocks import WindowReader
from mlp_jax.data.streams.order import MOST_ROWS, permuted, windows
from mlp_jax.errors import InputError

_WINDOW_BYTES = 3 << 26


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

    batch_size: rows of all processes together. process, n_processes: this one takes the rows
    [process·B/P, (process+1)·B/P) of every batch. steps: batches in a stack. ahead: stacks that are
    read before they are asked for; threads: that read them, a stack each. window: blocks that are
    shuffled together where the source has blocks, None for what 192 MiB hold; two windows are in
    memory, and the order hangs on it.
    """

    source: Source
    batch_size: int
    process: int = 0
    n_processes: int = 1
    steps: int = 1
    ahead: int = 8
    threads: int = 4
    window: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "n_processes", "steps", "ahead", "threads", "window"):
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

    @property
    def n_batches(self) -> int:
        """The batches of an epoch."""
        return -(-len(self.source) // self.batch_size)

    def epoch(self, keys: UInt32[np.ndarray, " 16"], first: int = 0) -> "Epoch":
        """The stacks of the epoch whose order `keys` name, from its batch `first` on.

        keys: `jax.random.bits(key, (16,), jnp.uint32)` for the order that `permuted` of
        `training/orders.py` makes of `key`; or `keys_of(seed, epoch)`.
        """
        if not 0 <= first <= self.n_batches:
            raise InputError(f"An epoch of {self.n_batches} batches does not go on at {first}.")
        return Epoch(_Stacks(self, keys, first), self.ahead, self.threads)


def _size(stream: Stream, source: BlockSource) -> int:
    """The blocks of a window."""
    if stream.window is not None:
        return stream.window
    block_bytes = 4 * source.n_features * len(source) / (len(source.starts) - 1)
    return max(2, int(_WINDOW_BYTES / block_bytes))


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
    """The stacks from a batch on, by number: what Grain takes for a source of its own."""

    def __init__(self, stream: Stream, keys: np.ndarray, first: int) -> None:
        self._stream, self._keys, self._first = stream, keys, first
        self._windows = None
        source = stream.source
        if isinstance(source, BlockSource):
            self._windows = WindowReader(
                source, windows(keys, source.starts, _size(stream, source))
            )

    def __len__(self) -> int:
        return -(-(self._stream.n_batches - self._first) // self._stream.steps)

    def __getitem__(self, number: int) -> Stack:
        stream = self._stream
        first = self._first + number * stream.steps
        batches = np.arange(first, min(first + stream.steps, stream.n_batches))
        share = stream.batch_size // stream.n_processes
        inside = stream.process * share + np.arange(share)
        places = batches[:, None] * stream.batch_size + inside
        weights = (places < len(stream.source)).astype(np.float32)
        rows = self._read(places.reshape(-1))
        return Stack(
            first,
            rows.x.reshape(*places.shape, -1),
            rows.y.reshape(*places.shape, *rows.y.shape[1:]),
            weights,
        )

    def _read(self, places: Int64[np.ndarray, " M"]) -> Rows:
        """What stands at these places; behind the last come rows again."""
        source, n = self._stream.source, len(self._stream.source)
        if self._windows is not None:  # the last row again, for it is of a block that is there
            return self._windows.read(np.minimum(places, n - 1))
        assert not isinstance(source, BlockSource)
        return source.read(permuted(self._keys, places % n, n))

    def close(self) -> None:
        if self._windows is not None:
            self._windows.close()
