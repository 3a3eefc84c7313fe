"""Loaders of the compiled calls of an epoch: in memory on the device, or streaming.

N rows in the data set, S batches of B rows in a call, I features.
"""

import functools
import math
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mlp_jax.data import Scaling, Split
from mlp_jax.data.source import BlockSource, Rows, Source, Streamed, converted, some_rows
from mlp_jax.errors import InputError
from mlp_jax.training.engine.batches import DeviceData, DeviceStack, Whole
from mlp_jax.training.engine.program import ORDER, Program, Seed, stream
from mlp_jax.training.input.placement import readied
from mlp_jax.training.input.validate import coded
from mlp_jax.training.mesh.layout import DATA
from mlp_jax.training.mesh.processes import to_mesh

if TYPE_CHECKING:
    from mlp_jax.data.streams import Stack

STACK_BYTES = 1 << 24
AHEAD = 4  # stacks read ahead

Data = DeviceData | DeviceStack


Calls = Generator[tuple[int, Data], None, None]
"""The compiled calls of an epoch: the number of steps of each, and its rows."""


class ValidationRows(NamedTuple):
    """Validation rows on the device, and their targets on the host."""

    data: DeviceData
    y: np.ndarray


class InMemoryLoader(NamedTuple):
    """Loader of a data set on the device."""

    data: DeviceData
    batch_size: int

    @property
    def on_device(self) -> DeviceData:
        """The data set."""
        return self.data

    @property
    def n(self) -> int:
        """Number of rows N."""
        return self.data.n

    @property
    def most(self) -> None:
        """Largest number of steps of a call; None for any."""

    def like(self, count: int) -> DeviceData:
        """Return the data set."""
        return self.data

    def calls(self, seed: Seed, epoch: int, done: int, length: int) -> Calls:
        """Yield calls that each use the whole data set."""
        steps = -(-self.n // self.batch_size)
        for first in range(done, steps, length):
            yield min(length, steps - first), self.data


class StreamingLoader:
    """Loader of rows that are read from files while the device computes, in epoch order.

    Reader threads scale and encode the rows, and the next stack is on the device before it is
    needed. In distributed training, each process reads the rows of its devices; of files that are
    read in blocks, the blocks of its shards.
    """

    on_device: DeviceData | None = None

    def __init__(
        self,
        rows: Streamed,
        program: Program,
        scaling: Scaling | None,
        target_scaling: Scaling | None,
        *,
        n_outputs: int,
        n_classes: int,
    ) -> None:
        def ready(found: Rows) -> Rows:
            _check(found, n_classes)
            rows = coded(program.loss, Split(*found), n_outputs, numbered=False)
            return Rows(*readied(rows, scaling, program.dtype, target_scaling)[:2])

        self._source: Source = converted(rows.source, ready)
        few = some_rows(rows.sample, 1)
        self._few, self._scaling, self._dtype = few, scaling, program.dtype
        self._one = ready(Rows(few.x, few.y))
        self._layout, self._batch_size = program.layout, program.batch_size
        self.n = len(rows)
        self._shards = 1
        if isinstance(rows.source, BlockSource):
            self._shards = math.gcd(program.batch_size, rows.shards)

    @property
    def most(self) -> int:
        """Largest number of steps of a call: those that 16 MiB of rows hold."""
        return max(1, STACK_BYTES // (self._batch_size * self._one.x.nbytes))

    def like(self, count: int) -> DeviceStack:
        """Return the shapes of a stack."""

        def shape(values: np.ndarray) -> jax.ShapeDtypeStruct:
            whole = (count, self._batch_size, *values.shape[1:])
            return jax.ShapeDtypeStruct(whole, values.dtype, sharding=self._sharding)

        return self._stack(*map(shape, self._one))

    def calls(self, seed: Seed, epoch: int, done: int, length: int) -> Calls:
        """Yield calls that each use their batches."""
        from mlp_jax.data.streams import Stream

        process, n_processes = self._share()
        reading = Stream(
            source=self._source,
            batch_size=self._batch_size,
            process=process,
            n_processes=n_processes,
            steps=length,
            ahead=AHEAD,
            threads=min(AHEAD, os.cpu_count() or 1),
            shards=self._shards,
        )
        key = jax.random.fold_in(stream(seed, ORDER), epoch)
        keys = np.asarray(jax.random.bits(key, (16,), jnp.uint32))
        with reading.epoch(keys, done) as stacks:
            coming: tuple[int, DeviceStack] | None = None
            for stack in stacks:
                ready, coming = coming, (len(stack.x), self._stack(*self._placed(stack)))
                if ready is not None:
                    yield ready
            if coming is not None:
                yield coming

    @property
    def _sharding(self) -> NamedSharding | None:
        """Sharding of x and y of a stack: the rows of each batch are split over data."""
        if self._layout is None:
            return None
        return NamedSharding(self._layout.mesh, PartitionSpec(None, DATA))

    @functools.cached_property
    def _decoding(self) -> tuple[Any, Any]:
        """Scale and offset on the device; None if rows are scaled by the readers."""
        few = Split(self._few.x, np.zeros(len(self._few)))  # targets do not matter here
        found = readied(few, self._scaling, self._dtype, None)[2:]
        if self._layout is None:
            return jax.tree.map(jnp.asarray, found)
        whole = self._layout.whole
        return jax.tree.map(lambda array: to_mesh(array, whole), found)

    def _stack(self, x: Any, y: Any) -> DeviceStack:
        return DeviceStack(x, y, *self._decoding, Whole(self.n, self._shards))

    def _placed(self, stack: "Stack") -> Iterator[jax.Array]:
        where = self._sharding
        for values in (stack.x, stack.y):
            if where is None:
                yield jnp.asarray(values)
                continue
            shape = (len(values), self._batch_size, *values.shape[2:])
            yield jax.make_array_from_process_local_data(where, values, shape)

    def _share(self) -> tuple[int, int]:
        """Return (index, count) of the part of each batch that this process reads."""
        if self._layout is None or jax.process_count() == 1:
            return 0, 1
        by_rows, size = self._layout.by_rows, self._batch_size
        places = by_rows.addressable_devices_indices_map((size,)).values()
        parts = [place[0].indices(size)[:2] for place in places if place is not None]
        first, last = min(start for start, _ in parts), max(stop for _, stop in parts)
        part = last - first
        if first % part or size % part:  # a row of the mesh spans two processes: each reads all
            return 0, 1
        return first // part, size // part


def _check(rows: Rows, n_classes: int) -> None:
    """Raise InputError for rows that training cannot use."""
    if n_classes and rows.y.ndim == 1:
        outside = (rows.y < 0) | (rows.y >= n_classes)
        if outside.any():
            raise InputError(
                f"A streamed row has the class {rows.y[outside][0]}, counted from 0, but the"
                f" network has {n_classes} classes."
            )
    for letter, values in (("x", rows.x), ("y", rows.y)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"A streamed row has a value of {letter} that is NaN or infinite.")


Loader = InMemoryLoader | StreamingLoader
"""Loader of training rows. Close the calls of an epoch that is not finished.

n: N. on_device: the whole data set, if it is on the device. most: largest number of steps of a
call, None for any. like(count): data of a call of this many steps, or its shapes.
calls(seed, epoch, done, length): calls of an epoch without its first `done` steps.
"""
