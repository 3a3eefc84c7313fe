"""Step of DP-SGD: Poisson batch, per-example clipping, noise on the sum.

    g̃ = (Σₙ min(1, C/‖gₙ‖) gₙ + σC 𝒩(0, I)) / B        (Abadi 2016, Algorithm 1)

over the rows n that the step drew, each independently with probability q. B = qN is the expected
number of rows, not the number drawn, which is secret too. The norms come from the tape of one
backward pass (Bu 2022). Everything after that uses g̃ only.

N rows in the data set, M of them at most in a batch.
"""

import math
import os
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, UInt32

from mlp_jax.backprop.records import Tape, contract, contract_transposed
from mlp_jax.backprop.specification import Params, State
from mlp_jax.backprop.statistics import own_records, squared_norms
from mlp_jax.training.engine.batches import DeviceData, decode
from mlp_jax.training.engine.program import DPStepSpec, Program, Totals, TrainState
from mlp_jax.training.engine.step import backward_pass, updated

NOISES = 4  # normal draws per noise value
KEYS = 2 + NOISES
SLACK = 1e-3  # share of the clip that covers rounding of norms and sums


class PoissonBatch(NamedTuple):
    """Rows drawn by a step, up to its capacity. mask (M,): places that hold a row."""

    x: Float[Array, "M I"]
    y: Array
    mask: Bool[Array, " M"]


def draw_secret(seed: int | None = None) -> UInt32[np.ndarray, "6 2"]:
    """Return six 64-bit keys from the operating system: for batches, dropout, and four for noise.

    They stay in memory, as an argument of the compiled call. seed: see `Privacy`.
    """
    if seed is None:
        return np.frombuffer(os.urandom(8 * KEYS), np.uint32).reshape(KEYS, 2)
    return np.random.default_rng(seed).integers(0, 1 << 32, (KEYS, 2), np.uint32)


def poisson_batch(program: Program, spec: DPStepSpec, data: DeviceData, key: Array) -> PoissonBatch:
    """Draw each row with probability q, in order; rows beyond the capacity are dropped."""
    n = data.n
    taken = jax.random.bits(key, (n,), jnp.uint32) <= jnp.uint32(spec.last)
    (rows,) = jnp.nonzero(taken, size=spec.capacity, fill_value=0)
    mask = jnp.arange(spec.capacity, dtype=jnp.int32) < jnp.sum(taken, dtype=jnp.int32)
    return PoissonBatch(decode(data, data.x[rows], program.dtype), data.y[rows], mask)


def clipped_sum(
    tape: Tape, mask: Bool[Array, " M"], clip: float, *, as_transposed: bool = False
) -> Any:
    """Return Σₙ min(1, C'/‖gₙ‖) gₙ over the examples of the mask, C' the clip less its slack.

    A non-finite gradient of an example adds nothing, so it neither breaks the bound nor reveals
    itself by ending the training. as_transposed: matrices as (J, I).
    """
    squares = squared_norms(tape)
    counts = mask & jnp.isfinite(squares)
    zero, one = jnp.zeros_like(squares), jnp.ones_like(squares)
    norms = jnp.sqrt(jnp.where(counts, squares, one))
    bound = jnp.asarray(clip * (1 - SLACK), norms.dtype)
    factors = jnp.where(counts, jnp.minimum(one, bound / norms), zero)

    def without(leaf: Array) -> Array:
        own = counts.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(own, leaf, jnp.zeros_like(leaf))

    records = jax.tree.map(without, own_records(tape))
    return (contract_transposed if as_transposed else contract)(records, factors)


def normal_like(tree: PyTree, keys: Array) -> Any:
    """Return independent standard normal numbers in the shape of a tree, each from four draws.

    A single draw from 24 random bits ends at 5.4 and has few values in the tail. The sum of four
    hides its parts (Holohan & Braghin 2021, "Secure Random Sampling in Differential Privacy") and
    ends at 10.8.
    """
    leaves, structure = jax.tree.flatten(tree)
    dtype, sizes = leaves[0].dtype, [leaf.size for leaf in leaves]
    # Separate draws fuse into a single loop; one draw of four rows does not.
    draws = [jax.random.normal(keys[k], (sum(sizes),), dtype) for k in range(NOISES)]
    flat = reduce(jnp.add, draws) / math.sqrt(NOISES)
    ends = np.cumsum(sizes)[:-1].tolist()
    parts = [
        part.reshape(leaf.shape) for part, leaf in zip(jnp.split(flat, ends), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, parts)


def private_gradient(
    program: Program,
    spec: DPStepSpec,
    params: Params,
    layer_state: State,
    batch: PoissonBatch,
    keys: Array,
) -> Any:
    """Return g̃ of a batch, the only value of it that leaves the step. keys (5,): dropout, noise.

    Dropout uses a secret key too: a mask belongs to a place in the batch, so an additional row
    changes the masks of the rows after it, which are random only to those who do not know the key.
    In a `transposed` program, params and gradient hold matrices as (J, I).
    """
    rows = (batch.x, batch.y, batch.mask.astype(program.dtype), None)
    tape = backward_pass(program, program.network, params, layer_state, rows, keys[0])[3]
    total = clipped_sum(tape, batch.mask, spec.clip, as_transposed=program.transposed)
    noise = normal_like(total, keys[1:])
    scale, share = spec.noise * spec.clip, 1 / program.batch_size
    return jax.tree.map(lambda g, z: ((g + scale * z) * share).astype(program.dtype), total, noise)


def private_step(
    program: Program, spec: DPStepSpec, state: TrainState, data: DeviceData
) -> tuple[TrainState, Totals]:
    """Update by g̃. The totals are 0, because the loss and size of the batch are secret."""
    assert data.secret is not None
    drawn = jax.random.wrap_key_data(data.secret, impl="threefry2x32")
    keys = jax.vmap(jax.random.fold_in, (0, None))(drawn, state.step)
    batch = poisson_batch(program, spec, data, keys[0])
    grads = private_gradient(program, spec, state.params, state.layer_state, batch, keys[1:])
    zero = jnp.zeros((), program.dtype)
    return updated(program, state, state.layer_state, zero, grads, zero)
