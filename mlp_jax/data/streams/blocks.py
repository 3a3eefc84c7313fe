"""Rows of a source of blocks in the order of windows: what is read is kept for as long as needed.

A window's blocks are held together, and those of the next are read one by one while it is used,
so that memory is that of two windows and nobody waits at the border between them.

Letters: M rows asked for, K blocks, I features.
"""

import math
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Int64

from mlp_jax.data.source import BlockSource, Rows
from mlp_jax.data.streams.order import Windows, rows_of_windows

_SPARE = 1  # blocks beyond two windows: read before those of the last window are given up
_EARLY = 1.25  # the next window is read by the time four fifths of this one are used


class WindowReader:
    """Reader of the rows at places of an epoch whose order is `windows`, its blocks by a pool."""

    def __init__(self, source: BlockSource, order: Windows, pool: ThreadPoolExecutor) -> None:
        self._source, self._order, self._starts = source, order, source.starts
        self._held: OrderedDict[int, Future[Rows]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = pool

    def read(self, places: Int64[np.ndarray, " M"]) -> Rows:
        """Return the rows at these places. Called by several threads at once."""
        rows = rows_of_windows(self._order, places)
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        needed = np.unique(blocks).tolist()
        found = {block: self._ask_for(block) for block in needed}
        self._look_ahead(int(places.max()))
        first = found[needed[0]].result()
        x = np.empty((len(rows), *first.x.shape[1:]), first.x.dtype)
        y = np.empty((len(rows), *first.y.shape[1:]), first.y.dtype)
        for block, future in found.items():
            here = np.flatnonzero(blocks == block)
            inside = rows[here] - self._starts[block]
            held = future.result()
            x[here], y[here] = held.x[inside], held.y[inside]
        return Rows(x, y)

    def close(self) -> None:
        """Give up what is held."""
        with self._lock:
            self._held.clear()

    def _look_ahead(self, place: int) -> None:
        """Have as much of the next window read as of this one is used."""
        starts = self._order.starts
        number = int(np.searchsorted(starts, place, side="right")) - 1
        used = (place + 1 - starts[number]) / (starts[number + 1] - starts[number])
        coming = self._order.blocks(number + 1)
        for block in coming[: math.ceil(_EARLY * used * len(coming))].tolist():
            self._ask_for(block)

    def _ask_for(self, block: int) -> "Future[Rows]":
        """The block, held or to be read; the ones that were not asked for longest make room."""
        with self._lock:
            future = self._held.get(block)
            if future is None:
                future = self._held[block] = self._pool.submit(self._source.read_block, block)
            self._held.move_to_end(block)
            while len(self._held) > 2 * self._order.size + _SPARE:
                self._held.popitem(last=False)
            return future
