"""The gradient of a network's loss: forward, loss, backward, contraction.

E = Σₙ cₙ Eₙ with cₙ = wₙ/Σw, and c enters once. With a tape, backward carries each example's own
∇Eₙ, and c enters where equation 3 sums the examples. Without one, backward starts from cₙ∇Eₙ and
equation 3 sums with ones: backward is linear in its start, so the sum is the same, and no layer
needs c ⊙ ∇Z beside ∇Z. Batch norm in training mode requires the latter: its backward mixes the
examples, so c must come before it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.layer import accumulator, weighted_sum
from mlp_jax.backprop.losses import Loss, as_loss, check_targets
from mlp_jax.backprop.member_loss import MemberLoss, loss_in
from mlp_jax.backprop.records import Tape, contract
from mlp_jax.backprop.specification import Layer, Params, Saved, State
from mlp_jax.errors import InputError

Given = Array | np.ndarray


def mean_weights(
    n: int, weights: Float[Array, " N"] | None, dtype: DTypeLike
) -> Float[Array, " N"]:
    """c (N,): wₙ/Σw, 1/N without weights, all 0 if the weights are."""
    if weights is None:
        return jnp.full((n,), 1 / n, dtype)
    total = jnp.sum(weights, dtype=dtype)
    return weights.astype(dtype) / jnp.where(total == 0, jnp.ones_like(total), total)


def cast_weights(params: Params, dtype: DTypeLike) -> Params:
    """Return the parameters with the matrices in `dtype`, the type of the products."""
    return jax.tree.map(lambda p: p.astype(dtype) if p.ndim > 1 else p, params)


class Passed(NamedTuple):
    """Result of a forward pass: the output (N, C), the new state, and the residual for backward."""

    output: Float[Array, "N C"]
    state: State
    residual: Saved


def forward_backward(
    network: Layer,
    loss: Loss,
    train: bool,
    params: Params,
    state: State,
    x: Float[Array, "N I"],
    y: Array,
    c: Float[Array, " N"],
    mask: Bool[Array, " N"] | None,
    key: Array | None,
    *,
    per_example: bool = True,
) -> tuple[Array, State, Params, Tape]:
    """(E, new state, ∇E, tape) of E = Σₙ cₙ Eₙ: the whole backward pass on one page.

    per_example: the tape stores each example's own gradient, as far as the network has one. Without
    it, c enters first and the pass needs less memory and time.
    """
    passed = Passed(*network.forward(params, state, x, train=train, key=key, mask=mask))
    coupled = train and network.couples_examples
    minimized = loss_in(network, loss, train)
    value, grads, tape = backward_from(
        network, minimized, params, passed, y, c, c_comes_first=not per_example or coupled
    )
    return value, passed.state, grads, tape


def backward_from(
    network: Layer,
    loss: Loss | MemberLoss,
    params: Params,
    passed: Passed,
    y: Array,
    c: Float[Array, " N"],
    *,
    c_comes_first: bool,
) -> tuple[Array, Params, Tape]:
    """(E, ∇E, tape) from a forward pass: the loss, the backward pass, and equation 3."""
    output = passed.output.astype(c.dtype)
    value = weighted_sum(c, loss.value(output, y))
    grad_output = loss.gradient(output, y)
    if c_comes_first:
        grad_output = c[:, None] * grad_output
        network = network.contracting()
    _, records = network.backward(params, passed.residual, grad_output, need_grad_a=False)
    grads = contract(records, None if c_comes_first else c)
    return value, grads, Tape(records, c_comes_first)


_with_tape = partial(jax.jit, static_argnums=(0, 1, 2))(forward_backward)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _without_tape(*arguments: Any) -> tuple[Array, State, Params]:
    """Compute the gradient alone, without a tape of per-example gradients."""
    return forward_backward(*arguments, per_example=False)[:3]


def _check_key(network: Layer, train: bool, key: Array | None) -> None:
    if network.draws and train and key is None:
        raise InputError("Dropout in training mode needs a random key: pass key=….")


def checked_arguments(
    network: Layer,
    loss: Loss,
    train: bool,
    params: Params,
    x: Given,
    y: Given,
    state: State,
    weights: Given | None,
    mask: Given | None,
    key: Array | None,
) -> tuple[Any, ...]:
    """Check the arguments of `forward_backward`: all shapes, and the values of concrete targets."""
    targets = y if isinstance(y, jax.Array) else np.asarray(y)  # int64 that JAX would cut off
    x, y = jnp.asarray(x), jnp.asarray(y)
    weights = None if weights is None else jnp.asarray(weights)
    if x.ndim != 2 or x.shape[0] != y.shape[0]:
        raise InputError(
            f"x must be (N, I) and y have N rows, not {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"x must be of a floating type, not {x.dtype}; scale whole numbers first.")
    check_targets(loss, targets, network.width_out(x.shape[1]))
    if network.has_state and state is None:
        raise InputError("This network keeps running statistics: pass the state=… that init gave.")
    _check_key(network, train, key)
    for name, rows in (("weights", weights), ("mask", mask)):
        if rows is not None and rows.shape != x.shape[:1]:
            raise InputError(
                f"{name} must have one entry per example, ({x.shape[0]},), not {tuple(rows.shape)}."
            )
    if state is None:
        state = network.without_state()
    c = mean_weights(x.shape[0], weights, accumulator(x))
    return network, loss, train, params, state, x, y, c, mask, key


def loss_and_tape(network: Layer, loss: Loss | str, *, train: bool = True) -> Callable[..., Any]:
    """Make a function that returns the loss, its gradient, and the tape of per-example records.

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, x, y, *, state, weights, mask, key) → (value, grads, tape), or ((value,
        new state), grads, tape) for a network with state. The arguments are those of
        `value_and_grad`; the tape stores, for every parameter, the terms that the gradient sums
        over the examples.
    """
    loss = as_loss(loss)

    def f(
        params: Params,
        x: Float[Given, "N I"],
        y: Given,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        mask: Bool[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, mask, key)
        value, new_state, grads, tape = _with_tape(*arguments)
        return ((value, new_state) if network.has_state else value), grads, tape

    return f


def value_and_grad(network: Layer, loss: Loss | str, *, train: bool = True) -> Callable[..., Any]:
    """Make a function that returns the loss and its gradient, like `jax.value_and_grad`.

    The function is jitted; equal networks and shapes compile once.

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, x, y, *, state, weights, mask, key) → (value, grads), or
        ((value, new state), grads) for a network with state. x is (N, I); y as the loss requires;
        weights (N,) weight the examples, E = Σ wₙEₙ/Σw; mask (N,) marks the rows that batch norm
        uses; key is the random key for dropout.

    Raises:
        InputError: when the function is called with shapes that do not fit, without a state or
            dropout key that is needed, or with an invalid target: a label that is no class, NaN.
            Under an outer `jit` target values are not checked.
    """
    loss = as_loss(loss)

    def f(
        params: Params,
        x: Float[Given, "N I"],
        y: Given,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        mask: Bool[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, mask, key)
        value, new_state, grads = _without_tape(*arguments)
        return ((value, new_state) if network.has_state else value), grads

    return f


def known_state(network: Layer, state: State) -> State:
    """Return the state, or the empty one of a network without state; InputError if missing."""
    if state is not None:
        return state
    if network.has_state:
        raise InputError("This network keeps running statistics: pass the state=… of its training.")
    return network.without_state()


def apply(
    network: Layer,
    params: Params,
    x: Float[Array, "N I"],
    *,
    state: State = None,
    train: bool = False,
    key: Array | None = None,
    mask: Bool[Array, " N"] | None = None,
) -> Float[Array, "N C"]:
    """Return the network's output. JAX can differentiate it.

    Args:
        network: the network.
        params: its parameters.
        x: inputs (N, I).
        state: state of a network that has one.
        train: training mode, or inference (False).
        key: random key for dropout.
        mask: rows (N,) that batch norm uses.

    Returns:
        The output (N, C).
    """
    state = known_state(network, state)
    _check_key(network, train, key)
    return network.forward(params, state, x, train=train, key=key, mask=mask)[0]


def loss_with_manual_gradient(
    objective: Callable[[Params], tuple[Array, Params]],
) -> Callable[[Params], Array]:
    """Wrap a loss so that JAX differentiates it by the hand-written gradient.

    For code that calls `jax.value_and_grad` itself, such as Optax's line searches. Reverse mode
    only: a `custom_vjp` blocks `jax.jvp`.

    Args:
        objective: a function params → (value, grads).

    Returns:
        A scalar function of the parameters.
    """

    @jax.custom_vjp
    def value(params: Params) -> Array:
        return objective(params)[0]

    def forward(params: Params) -> tuple[Array, Params]:
        return objective(params)

    def backward(grads: Params, cotangent: Array) -> tuple[Any]:
        return (jax.tree.map(lambda g: cotangent.astype(g.dtype) * g, grads),)

    value.defvjp(forward, backward)
    return value
