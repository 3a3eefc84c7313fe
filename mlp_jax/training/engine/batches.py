"""Batches of an epoch: row indices, and the arrays of a step.

N rows in the data set, B in a batch, S batches, I features.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt32

from mlp_jax.training.engine.program import ORDER, Program, Seed, stream
from mlp_jax.training.engine.shuffle import permuted
from mlp_jax.training.mesh.gather_rows import rows_from
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.mesh.processes import to_mesh


@jax.tree_util.register_static
@dataclass(frozen=True)
class Padding:
    """Number of padding rows at the end of a data set, which fill the last device's shard."""

    rows: int = 0


class DeviceData(NamedTuple):
    """Data set on the device.

    x (N, I): as stored (uint8 for images), decoded in the step to x * scale + offset, or unchanged
    without them. weights (N,): weight of each row, None for equal ones. secret (6, 2): random keys
    of private steps. padding: rows at the end that do not count.
    """

    x: Shaped[Array, "N I"]
    y: Array
    weights: Float[Array, " N"] | None
    scale: Array | None = None
    offset: Array | None = None
    secret: UInt32[Array, "6 2"] | None = None
    padding: Padding = Padding()

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.x.shape[0]) - self.padding.rows

    def at(self, layout: Layout | None, rows: Int[Array, " B"]) -> tuple[Array, Array, Any]:
        """Return x, y and weights of these rows."""
        weights = None if self.weights is None else rows_from(layout, self.weights, rows)
        return rows_from(layout, self.x, rows), rows_from(layout, self.y, rows), weights


@jax.tree_util.register_static
@dataclass(frozen=True)
class Whole:
    """Data set of a stack: number of rows, and of the shards that fill each batch.

    A shard gives B/L rows to every batch until it is exhausted; each has n/L rows, or one more.
    """

    n: int
    shards: int = 1


class DeviceStack(NamedTuple):
    """S batches of a streamed data set on the device, in the order of the epoch.

    x (S, B, I) as stored, y (S, B) or (S, B, C); scale and offset as in `DeviceData`.
    """

    x: Shaped[Array, "S B I"]
    y: Array
    scale: Array | None
    offset: Array | None
    whole: Whole

    @property
    def n(self) -> int:
        """Number of rows of the data set."""
        return self.whole.n

    @property
    def batches(self) -> tuple[Array, Array]:
        """Return x and y of each batch, which the steps scan over."""
        return self.x, self.y

    def at(self, layout: Layout | None, rows: tuple[Array, Array]) -> tuple[Array, Array, None]:
        """Return x, y and no weights of one of `batches`."""
        return *rows, None


def on_device(
    layout: Layout | None,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    scale: np.ndarray | None = None,
    offset: np.ndarray | None = None,
) -> DeviceData:
    """Place a data set on the device, or shard its rows over a mesh."""
    if layout is None:
        return DeviceData(*jax.tree.map(jnp.asarray, (x, y, weights, scale, offset)))
    padding = layout.padding(len(x))

    def in_parts(array: np.ndarray) -> Array:
        filled = np.pad(array, ((0, padding), *[(0, 0)] * (array.ndim - 1)))
        return to_mesh(filled, layout.by_rows)

    rows = jax.tree.map(in_parts, DeviceData(x=x, y=y, weights=weights))  # type: ignore[arg-type]
    decoding = jax.tree.map(lambda array: to_mesh(array, layout.whole), (scale, offset))
    return rows._replace(scale=decoding[0], offset=decoding[1], padding=Padding(padding))


class Batch(NamedTuple):
    """Arrays of a step.

    x (B, I), y. c (B,): weight of each example, Σc = 1. total: Σ weights. mask (B,): True for
    examples, False for padding; None without padding.
    """

    x: Float[Array, "B I"]
    y: Array
    c: Float[Array, " B"]
    total: Float[Array, ""]
    mask: Bool[Array, " B"] | None


def rows_at(
    seed: Seed, epoch: Any, n: int, batch_size: int, first: Any, steps: int, pool: int | None = None
) -> Int[Array, "S B"]:
    """Return the row indices of `steps` batches of an epoch from batch `first` on.

    They depend on (seed, epoch, place) only. Places after the last row repeat rows with weight 0,
    so that all batches have one shape. With a pool of k batches, M = kB rows are returned for each
    batch, drawn from k independent permutations, so that every row is in k pools of an epoch.
    """
    key = jax.random.fold_in(stream(seed, ORDER), epoch)
    places = (first * batch_size + jnp.arange(steps * batch_size, dtype=jnp.int32)) % n
    if pool is None:
        return permuted(key, places, n).reshape(steps, batch_size)

    def one(number: Array) -> Array:
        return permuted(jax.random.fold_in(key, number), places, n).reshape(steps, batch_size)

    return jax.vmap(one, out_axes=1)(jnp.arange(pool)).reshape(steps, pool * batch_size)


@partial(jax.jit, static_argnums=(2, 3, 4))
def epoch_order(
    seed: Seed, epoch: Any, n: int, batch_size: int, pool: int | None = None
) -> Int[Array, "S B"]:
    """Return the row indices of all batches of an epoch."""
    return rows_at(seed, epoch, n, batch_size, np.int32(0), -(-n // batch_size), pool)


def decode(
    data: DeviceData | DeviceStack, x: Shaped[Array, "B I"], dtype: DTypeLike
) -> Float[Array, "B I"]:
    """Return stored rows as the network takes them: x * scale + offset."""
    if data.scale is None or data.offset is None:
        return x.astype(dtype)
    return x.astype(dtype) * data.scale.astype(dtype) + data.offset.astype(dtype)


def take_batch(program: Program, data: DeviceData | DeviceStack, rows: Any, index: Array) -> Batch:
    """Return the batch at `index` with these rows (B,), or its pool; padding has weight 0.

    rows: for a stack, one of its `batches`.
    """
    batch = _batch_of(program, data, rows, index)
    return batch if program.layout is None else program.layout.split_rows(batch)


def _batch_of(program: Program, data: DeviceData | DeviceStack, rows: Any, index: Array) -> Batch:
    x, y, given = data.at(program.layout, rows)
    n, size = data.n, x.shape[0]
    x = decode(data, x, program.dtype)
    padded = n % program.batch_size != 0
    if given is None and not padded:
        total = jnp.full((), size, program.dtype)
        return Batch(x=x, y=y, c=jnp.full((size,), 1 / size, program.dtype), total=total, mask=None)
    weights = jnp.ones((size,), program.dtype)
    if given is not None:
        weights = given.astype(program.dtype)
    mask = None
    if padded:
        mask = _is_row(program, data, index, size)
        weights = jnp.where(mask, weights, jnp.zeros_like(weights))
    total = jnp.sum(weights)
    c = weights / jnp.where(total == 0, jnp.ones_like(total), total)
    return Batch(x=x, y=y, c=c, total=total, mask=mask)


def _is_row(program: Program, data: DeviceData | DeviceStack, index: Array, size: int) -> Array:
    """Return a mask of the places of the batch at `index` (or of its pool) that hold rows."""
    shards = data.whole.shards if isinstance(data, DeviceStack) else 1
    place = jnp.arange(size, dtype=jnp.int32) % program.batch_size
    of_a_shard = program.batch_size // shards
    shard, inside = place // of_a_shard, place % of_a_shard
    length = jnp.where(shard < data.n % shards, data.n // shards + 1, data.n // shards)
    return index * of_a_shard + inside < length
