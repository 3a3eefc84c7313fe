"""Compiled epoch: one call scans over the batches of data that is on the device.

All arrays of a step are arguments (a captured data set would become a constant of the program), the
state is donated, and the number of steps of a call is static. N rows in the data set, S steps in a
call, B rows in a batch, C outputs.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, PyTree

from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.specification import Params, State
from mlp_jax.training.engine.batches import DeviceData, DeviceStack, decode, rows_at
from mlp_jax.training.engine.bounded import BoundedJit
from mlp_jax.training.engine.private_step import private_step
from mlp_jax.training.engine.program import Keys, Program, Seed, Totals, TrainState
from mlp_jax.training.engine.step import all_finite, step
from mlp_jax.training.mesh.gather_rows import rows_from


def _same(tree: PyTree) -> Any:
    return tree


def _turned_over(tree: PyTree) -> Any:
    """Transpose every matrix in memory, not just its layout.

    JAX donates no buffers to a program with such a constraint.
    """
    rows = Layout((0, 1))
    return jax.tree.map(
        lambda leaf: with_layout_constraint(leaf.T, rows) if leaf.ndim == 2 else leaf, tree
    )


def walk(
    program: Program,
    state: TrainState,
    data: DeviceData | DeviceStack,
    rows: Any,
    first: Any,
    seed: Seed,
) -> tuple[TrainState, Totals]:
    """Run S steps from batch `first` of an epoch on, and sum their totals.

    rows (S, B): row indices of each batch; for a stack, its `batches`.
    """
    keys = Keys.of(seed)

    def body(state: TrainState, batch: tuple[Any, Array]) -> tuple[TrainState, Totals]:
        return step(program, state, data, *batch, keys)

    steps = jax.tree.leaves(rows)[0].shape[0]
    indices = first + jnp.arange(steps, dtype=jnp.int32)
    return scanned(program, body, state, (rows, indices), steps)


def scanned(
    program: Program, body: Any, state: TrainState, batches: Any, steps: int
) -> tuple[TrainState, Totals]:
    """Scan `body` over `steps` batches, and sum the totals.

    The state keeps its layout outside; in a `transposed` program the steps carry matrices as (J,
    I).
    """
    as_carried = _turned_over if program.transposed else _same
    state, totals = jax.lax.scan(body, as_carried(state), batches, steps)
    state, totals = as_carried(state), jax.tree.map(jnp.sum, totals)
    # The last step has no successor that would detect overflowed weights.
    checked = (state.params, () if program.guarded else state.opt_state)
    state = state._replace(alive=state.alive & all_finite(totals.loss, checked))
    if program.layout is not None:  # placement between calls
        state = program.layout.constrained(program.network, state)
    return state, totals


def _run_steps(
    program: Program,
    length: int,
    state: TrainState,
    data: DeviceData | DeviceStack,
    seed: Seed,
    epoch: Any,
    first: Any,
) -> tuple[TrainState, Totals]:
    """Run `length` steps from batch `first` of an epoch on, and sum their totals.

    data: for a stream, these batches only.
    """
    if isinstance(data, DeviceStack):
        return walk(program, state, data, data.batches, first, seed)
    spec = program.private
    if spec is not None:
        return scanned(
            program, lambda state, _: private_step(program, spec, state, data), state, None, length
        )
    n, size = data.n, program.batch_size
    rows = rows_at(seed, epoch, n, size, first, length, program.pool)
    return walk(program, state, data, rows, first, seed)


_keeping = BoundedJit(_run_steps, 2)

_donating = BoundedJit(_run_steps, 2, donate_argnums=2)


def run_steps(program: Program) -> Any:
    """Return the jitted f(program, length, state, data, seed, epoch, first) -> (state, totals).

    A guarded program donates its state. An unguarded one does not, so that the caller can repeat
    the steps with a guarded program if the returned state is not alive.
    """
    return _donating if program.guarded else _keeping


def judge_rows(
    program: Program, params: Params, layer_state: State, data: DeviceData
) -> tuple[Float[Array, "N C"], Float[Array, " N"]]:
    """Return the outputs and losses of all rows, in inference, batch by batch."""
    n = data.n
    size = min(n, 4096)
    weights = cast_weights(params, program.products)

    def batch(start: Array) -> tuple[Array, Array]:
        if program.layout is None:
            x = jax.lax.dynamic_slice_in_dim(data.x, start, size)
            y = jax.lax.dynamic_slice_in_dim(data.y, start, size)
        else:
            rows = start + jnp.arange(size, dtype=jnp.int32)
            x, y = (rows_from(program.layout, array, rows) for array in (data.x, data.y))
        output, _, _ = program.network.forward(
            weights, layer_state, decode(data, x, program.dtype), train=False, key=None, mask=None
        )
        output = output.astype(program.dtype)
        return output, program.loss.value(output, y)

    whole = n // size
    starts = jnp.arange(whole, dtype=jnp.int32) * size
    output, losses = jax.lax.map(batch, starts)
    output, losses = output.reshape(whole * size, -1), losses.reshape(-1)
    if n % size:
        last_output, last_losses = batch(jnp.asarray(n - size, jnp.int32))
        rest = size - n % size
        output = jnp.concatenate([output, last_output[rest:]])
        losses = jnp.concatenate([losses, last_losses[rest:]])
    if program.layout is None:
        return output, losses
    return jax.lax.with_sharding_constraint((output, losses), program.layout.whole)


def predict_rows(
    program: Program, multilabel: bool, params: Params, layer_state: State, data: DeviceData
) -> tuple[Float[Array, "N C"], Float[Array, " N"]]:
    """Return the predictions and losses of all rows, in inference."""
    output, losses = judge_rows(program, params, layer_state, data)
    return program.loss.predict(output, multilabel=multilabel), losses


predictions_and_losses = BoundedJit(predict_rows, 2)
