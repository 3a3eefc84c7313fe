"""The compiled epoch: one call walks the batches over data that lives on the device.

Everything that a step needs is an argument (a data set that is closed over becomes a constant of
the program), the state is donated, and the number of steps of a call is static. N rows in the data
set, B in a batch, I features.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, Int, Shaped, UInt32

from mlp_jax.backprop import Layer, Loss, loss_with_manual_gradient
from mlp_jax.backprop.gradient import cast_weights, forward_backward
from mlp_jax.backprop.records import contract_transposed, transposed
from mlp_jax.proof.quick import jit_once
from mlp_jax.training.orders import permuted

INIT, ORDER, DROPOUT = 0, 1, 2
Seed = UInt32[Array, ""] | np.uint32


class DeviceData(NamedTuple):
    """A data set on the device. x (N, I) as stored (uint8 for images), decoded in the step.

    weights (N,): how much each row counts, None for all the same. A decoded row is
    x * scale + offset, or x itself without them.
    """

    x: Shaped[Array, "N I"]
    y: Array
    weights: Float[Array, " N"] | None
    scale: Array | None = None
    offset: Array | None = None


class TrainState(NamedTuple):
    """All that training changes, one pytree. `alive` turns False where an update is not finite.

    average: the exponential moving average of the parameters, or () without one.
    """

    params: Any
    opt_state: Any
    layer_state: Any
    average: Any
    step: Int[Array, ""]
    alive: Array


class Totals(NamedTuple):
    """What a call adds up over its steps: Σ weight · loss, Σ weight."""

    loss: Float[Array, ""]
    weight: Float[Array, ""]


@dataclass(frozen=True)
class Program:
    """The static half of an epoch: equal programs compile once.

    products: the type in which matrices are multiplied. average_decay: of the moving average of
    the weights, None for none. doubt_updates: the optimizer may make of finite gradients what is
    not finite, so its updates are looked at too. guarded: leave out, within the program, an update
    that is not finite; without it only the state at the end says so, and no step pays for it.
    transposed: the steps of a call carry the matrices as (J, I), which is faster on a CPU, by 7 to
    17 %; for optimizers to which a matrix and its transpose are the same, and not when guarded.
    """

    network: Layer
    loss: Loss
    optimizer: optax.GradientTransformationExtraArgs
    batch_size: int
    dtype: Any = jnp.float32
    products: Any = jnp.float32
    average_decay: float | None = None
    doubt_updates: bool = True
    guarded: bool = True
    transposed: bool = False


def stream(seed: Seed, which: int) -> Array:
    """The random key of one of a run's streams (INIT, ORDER, DROPOUT); they never meet."""
    return jax.random.fold_in(jax.random.key(seed), which)


def initial_state(
    program: Program, seed: Seed, n_in: int, start: tuple[Any, Any] | None = None
) -> TrainState:
    """Step 0: parameters and state drawn from `seed` for inputs of width n_in.

    start: parameters and state to begin with instead, None at a child that is drawn all the same.
    One program, for drawing the weights one by one compiles each draw by itself.
    """
    return jit_once(lambda seed, start: first_state(program, seed, n_in, start))(seed, start)


def _instead(drawn: tuple[Any, ...], given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The children's trees that are given, and those that were drawn where None is."""
    return tuple(new if old is None else old for new, old in zip(drawn, given, strict=True))


def first_state(
    program: Program, seed: Seed, n_in: int, start: tuple[Any, Any] | None
) -> TrainState:
    """`initial_state` as a plain function, to be part of a larger program."""
    drawn = program.network.init(stream(seed, INIT), n_in)
    params, layer_state = (
        jax.tree.map(lambda leaf: leaf.astype(program.dtype), tree)
        for tree in (drawn if start is None else map(_instead, drawn, start))
    )
    average = () if program.average_decay is None else jax.tree.map(jnp.copy, params)
    return TrainState(
        params,
        program.optimizer.init(params),
        layer_state,
        average,
        jnp.zeros((), jnp.int32),
        jnp.ones((), bool),
    )


def rows_at(
    seed: Seed, epoch: Any, n: int, batch_size: int, first: Any, steps: int
) -> Int[Array, "S B"]:
    """The rows of `steps` batches of an epoch from its batch `first` on.

    A function of (seed, epoch, place) and nothing else. The places after the last row hold rows
    again, for batches of one shape; they weigh nothing.
    """
    key = jax.random.fold_in(stream(seed, ORDER), epoch)
    places = first * batch_size + jnp.arange(steps * batch_size, dtype=jnp.int32)
    return permuted(key, places % n, n).reshape(steps, batch_size)


@partial(jax.jit, static_argnums=(2, 3))
def epoch_order(seed: Seed, epoch: Any, n: int, batch_size: int) -> Int[Array, "S B"]:
    """The rows of all batches of an epoch."""
    return rows_at(seed, epoch, n, batch_size, np.int32(0), -(-n // batch_size))


def decode(data: DeviceData, x: Shaped[Array, "B I"], dtype: Any) -> Float[Array, "B I"]:
    """Stored rows as the network takes them: x * scale + offset."""
    if data.scale is None or data.offset is None:
        return x.astype(dtype)
    return x.astype(dtype) * data.scale.astype(dtype) + data.offset.astype(dtype)


def take_batch(
    program: Program, data: DeviceData, rows: Int[Array, " B"], index: Array
) -> tuple[Array, Array, Array, Array, Array | None]:
    """(x, y, c, Σw, mask) of the batch at `index` with these rows; what is padding weighs 0."""
    n, size = data.x.shape[0], program.batch_size
    x = decode(data, data.x.at[rows].get(mode="clip"), program.dtype)
    y = data.y.at[rows].get(mode="clip")
    padded = n % size != 0
    if data.weights is None and not padded:
        total = jnp.full((), size, program.dtype)
        return x, y, jnp.full((size,), 1 / size, program.dtype), total, None
    weights = jnp.ones((size,), program.dtype)
    if data.weights is not None:
        weights = data.weights.at[rows].get(mode="clip").astype(program.dtype)
    mask = None
    if padded:
        mask = index * size + jnp.arange(size, dtype=jnp.int32) < n
        weights = jnp.where(mask, weights, jnp.zeros_like(weights))
    total = jnp.sum(weights)
    c = weights / jnp.where(total == 0, jnp.ones_like(total), total)
    return x, y, c, total, mask


def _chosen(flag: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def _all_finite(value: Array, *trees: Any) -> Array:
    """Whether the loss and every array of the trees are finite, by one sum over each."""
    leaves = [leaf for leaf in jax.tree.leaves(trees) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    sums = [jnp.sum(leaf, dtype=leaf.dtype) for leaf in leaves]
    return jnp.isfinite(value) & jnp.all(jnp.isfinite(jnp.stack(sums)))


def step(
    program: Program, state: TrainState, data: DeviceData, rows: Array, index: Array, key: Array
) -> tuple[TrainState, Totals]:
    """One update; where the program is guarded, one that is not finite is not applied."""
    x, y, c, total, mask = take_batch(program, data, rows, index)
    draw = jax.random.fold_in(key, state.step)

    def objective(params: Any) -> tuple[Array, Any, Any]:
        params = transposed(params) if program.transposed else params
        weights = cast_weights(params, program.products)
        value, layer_state, grads, tape = forward_backward(
            program.network,
            program.loss,
            True,
            weights,
            state.layer_state,
            x,
            y,
            c,
            mask,
            draw,
            per_example=False,
        )
        if program.transposed:
            grads = contract_transposed(tape.records, None)
        return value, layer_state, grads

    value, layer_state, grads = objective(state.params)
    updates, opt_state = program.optimizer.update(
        grads,
        state.opt_state,
        state.params,
        value=value,
        grad=grads,
        value_fn=loss_with_manual_gradient(lambda p: objective(p)[::2]),
    )
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if program.average_decay is not None:
        decay = program.average_decay
        average = jax.tree.map(lambda m, p: decay * m + (1 - decay) * p, average, params)
    new = TrainState(params, opt_state, layer_state, average, state.step + 1, state.alive)
    if not program.guarded:
        return new, Totals(value * total, total)
    looked_at = (grads, updates) if program.doubt_updates else grads
    good = state.alive & _all_finite(value, looked_at)
    kept = _chosen(good, new, state)._replace(alive=good)
    zero = jnp.zeros_like(total)
    return kept, Totals(jnp.where(good, value * total, zero), jnp.where(good, total, zero))


def _same(tree: Any) -> Any:
    return tree


def _turned_over(tree: Any) -> Any:
    """Every matrix transposed in memory, not by reading it in another order.

    JAX donates nothing to a program with such a constraint.
    """
    rows = Layout((0, 1))
    return jax.tree.map(
        lambda leaf: with_layout_constraint(leaf.T, rows) if leaf.ndim == 2 else leaf, tree
    )


def walk(
    program: Program,
    state: TrainState,
    data: DeviceData,
    rows: Int[Array, "S B"],
    first: Any,
    seed: Seed,
) -> tuple[TrainState, Totals]:
    """S steps with these rows, the batches of an epoch from `first` on, and the sums over them.

    The state comes and goes as it is; where the program is `transposed`, the steps carry its
    matrices as (J, I).
    """
    dropout = stream(seed, DROPOUT)
    as_carried = _turned_over if program.transposed else _same

    def body(state: TrainState, batch: tuple[Array, Array]) -> tuple[TrainState, Totals]:
        return step(program, state, data, *batch, dropout)

    indices = first + jnp.arange(len(rows), dtype=jnp.int32)
    state, totals = jax.lax.scan(body, as_carried(state), (rows, indices))
    state, totals = as_carried(state), jax.tree.map(jnp.sum, totals)
    # No step follows the last one to notice that its weights overflowed.
    checked = (state.params, () if program.guarded else state.opt_state)
    alive = state.alive & _all_finite(totals.loss, checked)
    return state._replace(alive=alive), totals


def _run_steps(
    program: Program,
    length: int,
    state: TrainState,
    data: DeviceData,
    seed: Seed,
    epoch: Any,
    first: Any,
) -> tuple[TrainState, Totals]:
    """`length` steps of an epoch from its batch `first` on, and the sums over them."""
    rows = rows_at(seed, epoch, data.x.shape[0], program.batch_size, first, length)
    return walk(program, state, data, rows, first, seed)


_arguments: dict[str, Any] = {"static_argnums": (0, 1)}
_keeping = jax.jit(_run_steps, **_arguments)
_donating = jax.jit(_run_steps, **_arguments, donate_argnums=2)


def run_steps(program: Program) -> Any:
    """The jitted f(program, length, state, data, seed, epoch, first) -> (state, totals).

    A guarded program reuses the memory of the state that it is given. One that is not leaves it:
    where it returns a state that is not alive, the caller repeats the steps guarded from there.
    """
    return _donating if program.guarded else _keeping


def judge_rows(
    program: Program, params: Any, layer_state: Any, data: DeviceData
) -> tuple[Float[Array, "N C"], Float[Array, " N"]]:
    """The network's output and loss of every row, in inference, batch by batch."""
    n = data.x.shape[0]
    size = min(n, 4096)
    weights = cast_weights(params, program.products)

    def batch(start: Array) -> tuple[Array, Array]:
        x = jax.lax.dynamic_slice_in_dim(data.x, start, size)
        y = jax.lax.dynamic_slice_in_dim(data.y, start, size)
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
    return output, losses


outputs_and_losses = partial(jax.jit, static_argnums=0)(judge_rows)
