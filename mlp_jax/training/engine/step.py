"""Training step: forward pass, hand-written backward pass, optimizer update."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from mlp_jax.backprop import Layer, loss_with_manual_gradient
from mlp_jax.backprop.gradient import cast_weights, forward_backward
from mlp_jax.backprop.kronecker import drawn_factors
from mlp_jax.backprop.records import Tape, contract_transposed, transposed
from mlp_jax.backprop.specification import Params, State
from mlp_jax.training.engine.batches import Batch, DeviceData, DeviceStack
from mlp_jax.training.engine.importance import next_batch
from mlp_jax.training.engine.program import TARGETS, Average, Keys, Program, Totals, TrainState


def _chosen(flag: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def all_finite(value: Array, *trees: Any) -> Array:
    """Return whether the loss and all arrays of the trees are finite, by one sum over each."""
    leaves = [leaf for leaf in jax.tree.leaves(trees) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    sums = [jnp.sum(leaf, dtype=leaf.dtype) for leaf in leaves]
    return jnp.isfinite(value) & jnp.all(jnp.isfinite(jnp.stack(sums)))


def value_and_gradient(
    program: Program, params: Params, layer_state: State, batch: Batch, draw: Array
) -> tuple[Array, Any, Any]:
    """Return (loss, layer state, gradient) of a batch; `draw` is the key of its dropout.

    In a `transposed` program, params and gradient hold matrices as (J, I). With gradient
    accumulation the batch is processed in parts, whose c makes their sum the gradient of the whole
    batch; each part draws its own dropout.
    """
    if program.accumulate == 1:
        return _one_pass(program, params, layer_state, batch, draw)

    def add(sums: Any, at: tuple[Any, Array]) -> tuple[Any, None]:
        (x, y, c, mask), number = at
        part = Batch(x=x, y=y, c=c, total=batch.total, mask=mask)
        if program.layout is not None:
            part = program.layout.split_rows(part)
        key = jax.random.fold_in(draw, number)
        value, _, grads = _one_pass(program, params, layer_state, part, key)
        return jax.tree.map(jnp.add, sums, (value, grads)), None

    parts = jax.tree.map(
        partial(_in_parts, program.accumulate), (batch.x, batch.y, batch.c, batch.mask)
    )
    start = jnp.zeros((), batch.c.dtype), jax.tree.map(jnp.zeros_like, params)
    numbers = jnp.arange(program.accumulate, dtype=jnp.uint32)
    (value, grads), _ = jax.lax.scan(add, start, (parts, numbers))
    return value, layer_state, grads


def _in_parts(count: int, array: Array) -> Array:
    """Reshape (B, …) to (count, B/count, …) with every k-th row, so that each device has some."""
    return jnp.moveaxis(array.reshape(-1, count, *array.shape[1:]), 1, 0)


def backward_pass(
    program: Program,
    network: Layer,
    params: Params,
    layer_state: State,
    rows: tuple[Array, Array, Array, Array | None],
    key: Array,
    *,
    per_example: bool = True,
) -> tuple[Array, Any, Any, Tape]:
    """Return `forward_backward` in training mode of rows (x, y, c, mask), as the program computes.

    In a `transposed` program params hold matrices as (J, I); the returned gradient does not.
    """
    params = transposed(params) if program.transposed else params
    weights = cast_weights(params, program.products)
    return forward_backward(
        network, program.loss, True, weights, layer_state, *rows, key, per_example=per_example
    )


def _one_pass(
    program: Program, params: Params, layer_state: State, batch: Batch, draw: Array
) -> tuple[Array, Any, Any]:
    """Return `value_and_gradient` of a batch in one pass."""
    rows = (batch.x, batch.y, batch.c, batch.mask)
    value, layer_state, grads, tape = backward_pass(
        program, program.trained, params, layer_state, rows, draw, per_example=False
    )
    if program.transposed:
        grads = contract_transposed(tape.records, None)
    return value, layer_state, grads


def step(
    program: Program,
    state: TrainState,
    data: DeviceData | DeviceStack,
    rows: Any,
    index: Array,
    keys: Keys,
) -> tuple[TrainState, Totals]:
    """Update the state by one step; a guarded program skips a non-finite update."""
    draw, draws = keys.at(state.step)
    seen = transposed(state.params) if program.transposed else state.params
    batch = next_batch(program, seen, state.layer_state, data, rows, index, draws)

    def objective(params: Params) -> tuple[Array, Any, Any]:
        return value_and_gradient(program, params, state.layer_state, batch, draw)

    value, layer_state, grads = objective(state.params)
    value_fn = loss_with_manual_gradient(lambda params: objective(params)[::2])
    extra: dict[str, Any] = {"value_fn": value_fn}
    if program.gives_curvature:
        extra["curvature_fn"] = partial(batch_factors, program, state, batch, draw)
    return updated(program, state, layer_state, value, grads, batch.total, **extra)


def batch_factors(program: Program, state: TrainState, batch: Batch, draw: Array) -> Any:
    """Return the Kronecker factors of a batch at targets drawn from the model.

    Next to the gradient of the same batch, the compiler merges the forward passes. draw: key of the
    dropout.
    """
    return drawn_factors(
        program.network,
        program.loss,
        cast_weights(state.params, program.products),
        state.layer_state,
        batch.x,
        batch.c,
        draw,
        jax.random.fold_in(draw, TARGETS),
    )


def _share_in_average(decay: Array, step: Array) -> Array:
    """Return (1 − d)/(1 − dᵗ), the share of the weights of step t = step + 1 in the moving average.

    With it the average is Σ_i dᵗ⁻ⁱ wᵢ/Σ_i dᵗ⁻ⁱ over the steps i = 1 … t, without bias towards the
    start, as in Adam (Kingma & Ba 2015). The first share is 1.
    """
    rest, log_decay = decay
    return rest / -jnp.expm1((step + 1).astype(decay.dtype) * log_decay)


def updated(
    program: Program,
    state: TrainState,
    layer_state: State,
    value: Array,
    grads: Params,
    total: Array,
    **extra: Any,
) -> tuple[TrainState, Totals]:
    """Return the state after the optimizer's update by `grads`, guarded if the program is.

    value, total: loss of the batch and its Σ weights. extra: more arguments of the optimizer, by
    their names in Optax.
    """
    updates, opt_state = program.optimizer.update(
        grads, state.opt_state, state.params, value=value, grad=grads, **extra
    )
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if isinstance(average, Average):
        share = _share_in_average(average.decay, state.step)
        latest = Average(params, layer_state, average.decay)
        average = jax.tree.map(lambda m, p: m + share * (p - m), average, latest)
    new = TrainState(
        params=params,
        opt_state=opt_state,
        layer_state=layer_state,
        average=average,
        step=state.step + 1,
        alive=state.alive,
    )
    if program.layout is not None:
        new = program.layout.constrained(program.network, new)
    if not program.guarded:
        return new, Totals(value * total, total)
    checked = (grads, updates) if program.doubt_updates else grads
    good = state.alive & all_finite(value, checked)
    kept = _chosen(good, new, state)._replace(alive=good)
    zero = jnp.zeros_like(total)
    return kept, Totals(jnp.where(good, value * total, zero), jnp.where(good, total, zero))
