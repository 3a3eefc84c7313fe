"""Importance sampling: each step draws its batch from a pool, by the size of the rows' gradients.

Katharopoulos & Fleuret 2018, "Not All Samples Are Created Equal: Deep Learning with Importance
Sampling". B rows in a batch, k batches in a pool, M = kB rows, with weights c (M,), Σc = 1, as the
one batch of them all would have. A forward pass scores them: sₙ is the norm of the gradient that
the loss sends back into the network's output, which bounds ‖gₙ‖ up to a factor that is the same
for all. Row n is then drawn with probability

    pₙ = (1 − ε) cₙsₙ/Σcs + ε cₙ

B times with replacement, and counts cₙ/(Bpₙ) in equation 3 each time, so that the expectation of
the batch's gradient is Σ cₙgₙ, that of the pool, whatever the scores are. A row without weight is
never drawn, and none counts more than 1/ε times what it would in a batch that was not chosen.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.row_products import squared_lengths
from mlp_jax.errors import InputError
from mlp_jax.training.engine.batches import Batch, DeviceData, DeviceStack, take_batch
from mlp_jax.training.engine.program import Program

MIXED = 0.1  # ε: the second moment of the estimate is at most 1/(1 − ε) times the least there is


def check_importance(pool: int | None, batch_size: int, n: int) -> None:
    """InputError where batches cannot be drawn from pools of so many; None draws none."""
    if pool is None:
        return
    if pool < 2:
        raise InputError(f"Importance sampling takes pools of at least 2 batches, not {pool}.")
    if batch_size >= n:
        raise InputError(
            f"A batch of all {n} rows leaves importance sampling nothing"
            " to draw: take a smaller batch."
        )


def scores(program: Program, params: Any, layer_state: Any, pool: Batch) -> Float[Array, " M"]:
    """‖∇Eₙ‖ at the network's output, in inference: the upper bound of Katharopoulos 2018."""
    output, _, _ = program.network.forward(
        cast_weights(params, program.products),
        layer_state,
        pool.x,
        train=False,
        key=None,
        mask=None,
    )
    gradient = program.loss.gradient(output.astype(pool.c.dtype), pool.y)
    return jnp.sqrt(squared_lengths(gradient).astype(pool.c.dtype))


def probabilities(s: Float[Array, " M"], c: Float[Array, " M"]) -> Float[Array, " M"]:
    """p (M,) of the scores s and the weights c; c itself where all scores are 0.

    Where scores are not finite, their rows take the place of all scores: they are drawn, and the
    step that they spoil is stopped like any other.
    """
    broken = ~jnp.isfinite(s)
    s = jnp.where(jnp.any(broken), broken.astype(s.dtype), s)
    size = c * s
    total = jnp.sum(size)
    share = jnp.where(total > 0, size / jnp.where(total > 0, total, 1), c)
    return (1 - MIXED) * share + MIXED * c


def drawn(p: Float[Array, " M"], u: Float[Array, " B"]) -> Int[Array, " B"]:
    """The rows at (j + uⱼ)/B of the distribution p, j = 0 … B−1, for u evenly in [0, 1).

    One draw from each Bth of it: row n comes Bpₙ times in expectation, and the variance is never
    above that of independent draws (Douc & Cappé 2005, stratified resampling).
    """
    below = jnp.cumsum(p)
    places = (jnp.arange(len(u), dtype=u.dtype) + u) / len(u)
    found = jnp.searchsorted(below, places * below[-1], side="right")
    # Rounding of the sums may lead to a row of probability 0: the one before it is meant.
    rows = jnp.arange(len(p), dtype=found.dtype)
    possible = jax.lax.cummax(jnp.where(p > 0, rows, jnp.zeros_like(rows)))
    return possible.at[found].get(mode="clip")


def batch_from(pool: Batch, s: Float[Array, " M"], u: Float[Array, " B"]) -> Batch:
    """The batch that scores s and u, evenly in [0, 1), draw from a pool."""
    p = probabilities(s, pool.c)
    rows = drawn(p, u)
    x, y, c, chance = (leaf.at[rows].get(mode="clip") for leaf in (pool.x, pool.y, pool.c, p))
    weight = c / (len(u) * jnp.where(chance > 0, chance, jnp.ones_like(chance)))
    return Batch(x, y, weight, pool.total * (len(u) / len(p)), None)


def next_batch(
    program: Program,
    params: Any,
    layer_state: Any,
    data: DeviceData | DeviceStack,
    rows: Any,
    index: Any,
    key: Array,
) -> Batch:
    """The batch at `index`: these rows (M,), or those drawn from them where they are a pool.

    params: with matrices (I, J), whatever the steps carry. key: of this step's draws alone.
    """
    batch = take_batch(program, data, rows, index)
    if program.pool is None:
        return batch
    s = scores(program, params, layer_state, batch)
    return batch_from(batch, s, jax.random.uniform(key, (program.batch_size,), batch.c.dtype))
