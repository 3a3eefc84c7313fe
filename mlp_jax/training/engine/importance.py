"""Importance sampling: draw each batch from a pool, by the gradient norm of its rows.

Katharopoulos & Fleuret 2018, "Not All Samples Are Created Equal: Deep Learning with Importance
Sampling". B rows in a batch, k batches in a pool, M = kB rows, with the weights c (M,), Σc = 1, of
one batch of all of them. A forward pass scores them: sₙ is the norm of the loss gradient at the
network's output, which bounds ‖gₙ‖ up to a common factor. Row n is drawn with probability

    pₙ = (1 − ε) cₙsₙ/Σcs + ε cₙ

B times with replacement, and weighs cₙ/(Bpₙ) in equation 3 each time, so that the expected gradient
of the batch is that of the pool, Σ cₙgₙ, for any scores. A row of weight 0 is never drawn, and no
row weighs more than 1/ε times its weight in a batch without importance sampling.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.row_products import squared_lengths
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError
from mlp_jax.training.engine.batches import Batch, DeviceData, DeviceStack, take_batch
from mlp_jax.training.engine.program import Program

MIXED = 0.1  # ε: the second moment of the estimate is at most 1/(1 − ε) times the minimum


def check_importance(pool: int | None, batch_size: int, n: int) -> None:
    """Raise InputError if batches cannot be drawn from pools of this size; None draws none."""
    if pool is None:
        return
    if pool < 2:
        raise InputError(f"Importance sampling needs pools of at least 2 batches, not {pool}.")
    if batch_size >= n:
        raise InputError(
            f"Importance sampling cannot draw from batches of all {n} rows: use a smaller batch"
            " size."
        )


def scores(program: Program, params: Params, layer_state: State, pool: Batch) -> Float[Array, " M"]:
    """Return ‖∇Eₙ‖ at the network's output, in inference: the upper bound of Katharopoulos 2018."""
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
    """Return p (M,) for scores s and weights c; c itself if all scores are 0.

    If some scores are not finite, only their rows are drawn, so that the divergence is detected.
    """
    broken = ~jnp.isfinite(s)
    s = jnp.where(jnp.any(broken), broken.astype(s.dtype), s)
    size = c * s
    total = jnp.sum(size)
    share = jnp.where(total > 0, size / jnp.where(total > 0, total, 1), c)
    return (1 - MIXED) * share + MIXED * c


def drawn(p: Float[Array, " M"], u: Float[Array, " B"]) -> Int[Array, " B"]:
    """Return the rows at (j + uⱼ)/B of the distribution p, j = 0 … B−1, for uniform u in [0, 1).

    With one draw from each stratum, row n is drawn Bpₙ times in expectation, and the variance never
    exceeds that of independent draws (Douc & Cappé 2005, stratified resampling).
    """
    below = jnp.cumsum(p)
    places = (jnp.arange(len(u), dtype=u.dtype) + u) / len(u)
    found = jnp.searchsorted(below, places * below[-1], side="right")
    # Rounding may select a row of probability 0; use the possible row before it.
    rows = jnp.arange(len(p), dtype=found.dtype)
    possible = jax.lax.cummax(jnp.where(p > 0, rows, jnp.zeros_like(rows)))
    return possible.at[found].get(mode="clip")


def batch_from(pool: Batch, s: Float[Array, " M"], u: Float[Array, " B"]) -> Batch:
    """Return the batch that scores s and uniform u in [0, 1) draw from a pool."""
    p = probabilities(s, pool.c)
    rows = drawn(p, u)
    x, y, c, chance = (leaf.at[rows].get(mode="clip") for leaf in (pool.x, pool.y, pool.c, p))
    weight = c / (len(u) * jnp.where(chance > 0, chance, jnp.ones_like(chance)))
    return Batch(x=x, y=y, c=weight, total=pool.total * (len(u) / len(p)), mask=None)


def next_batch(
    program: Program,
    params: Params,
    layer_state: State,
    data: DeviceData | DeviceStack,
    rows: Any,
    index: Any,
    key: Array,
) -> Batch:
    """Return the batch at `index`: these rows (M,), or a sample of them if they are a pool.

    params: with matrices (I, J), also in a `transposed` program. key: used by this step only.
    """
    batch = take_batch(program, data, rows, index)
    if program.pool is None:
        return batch
    s = scores(program, params, layer_state, batch)
    return batch_from(batch, s, jax.random.uniform(key, (program.batch_size,), batch.c.dtype))
