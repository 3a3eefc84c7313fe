"""Compiled epoch of an estimator: the steps of `training`, with scikit-learn's penalty.

Letters: N rows, S steps, B rows in a batch, I features, C outputs.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mlp_jax.backprop import loss_with_manual_gradient
from mlp_jax.backprop.specification import Params
from mlp_jax.training.engine.batches import DeviceData, take_batch
from mlp_jax.training.engine.bounded import BoundedJit
from mlp_jax.training.engine.epoch import scanned
from mlp_jax.training.engine.program import Keys, Program, Seed, Totals, TrainState
from mlp_jax.training.engine.step import updated, value_and_gradient


def with_penalty(
    value: Array, grads: Params, params: Params, strength: Float[Array, ""]
) -> tuple[Array, Any]:
    """E + ½ s Σ‖W‖² and its gradient, over the weight matrices.

    scikit-learn's s is α/Σw: it divides the penalty by the weight of the batch.
    """
    squares = [jnp.sum(p * p) for p in jax.tree.leaves(params) if p.ndim > 1]
    grads = jax.tree.map(lambda g, p: g + strength * p if p.ndim > 1 else g, grads, params)
    return value + 0.5 * strength * jnp.sum(jnp.stack(squares)), grads


def epoch_steps(
    program: Program,
    state: TrainState,
    data: DeviceData,
    rows: Int[Array, "S B"],
    first: Params,
    alpha: Float[Array, ""],
    seed: Seed,
) -> tuple[TrainState, Totals]:
    """Run S steps over the batches from `first` on; also return Σ loss · rows and Σ rows.

    The last batch may be short: it is padded with rows of weight 0.
    """
    keys = Keys.of(seed)
    n = data.n

    def body(state: TrainState, at: tuple[Array, Array]) -> tuple[TrainState, Totals]:
        draw, _ = keys.at(state.step)
        batch = take_batch(program, data, *at)
        total = batch.total
        strength = alpha / jnp.where(total == 0, jnp.ones_like(total), total)

        def objective(params: Params) -> tuple[Array, Any, Any]:
            value, kept, grads = value_and_gradient(program, params, state.layer_state, batch, draw)
            value, grads = with_penalty(value, grads, params, strength)
            return value, kept, grads

        value, layer_state, grads = objective(state.params)
        value_fn = loss_with_manual_gradient(lambda params: objective(params)[::2])
        new, _ = updated(program, state, layer_state, value, grads, total, value_fn=value_fn)
        counted = jnp.minimum(program.batch_size, n - at[1] * program.batch_size)
        counted = counted.astype(value.dtype)
        return new, Totals(value * counted, counted)

    indices = first + jnp.arange(len(rows), dtype=jnp.int32)
    return scanned(program, body, state, (rows, indices), len(rows))


run_epoch_steps = BoundedJit(epoch_steps, 1)


def batches_of(order: np.ndarray, batch_size: int) -> Int[np.ndarray, "S B"]:
    """Split the rows in this order into batches; the last one is padded with the first rows."""
    steps = -(-len(order) // batch_size)
    return np.resize(order, (steps, batch_size)).astype(np.int32, copy=False)
