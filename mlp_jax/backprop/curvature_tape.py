"""Tapes of the curvature: backward passes that start from the loss's own distribution.

The tape of a loss holds δ at the true targets. Here δ comes of gradients whose second moment is
H = ∂²E/∂s² of the output: one at a target drawn from the model, or as many as have the
expectation. What statistics takes a tape takes these, and says of the generalized Gauss-Newton
matrix (the Fisher information, `sampling.py`) what it says of the gradients' second moment.

Letters: N examples, I inputs, C outputs, K columns of a root of H (`hessians.py`).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.gradient import (
    Given,
    Passed,
    backward_from,
    checked_arguments,
    known_state,
)
from mlp_jax.backprop.hessians import hessian_root
from mlp_jax.backprop.layer import accumulator
from mlp_jax.backprop.losses import Loss
from mlp_jax.backprop.records import Tape
from mlp_jax.backprop.sampling import check_distribution, drawn_gradient
from mlp_jax.backprop.specification import Layer
from mlp_jax.errors import InputError


def check_curvature(network: Layer, loss: Loss, train: bool) -> None:
    """InputError where examples have no curvature of their own, or the loss no distribution."""
    if train and network.couples_examples:
        raise InputError(
            "Curvature is that of each example by itself, and batch norm in training mode mixes"
            " the examples. Take a network without batch norm, or train=False."
        )
    check_one_prediction(network, train)
    check_distribution(loss)


def check_one_prediction(network: Layer, train: bool) -> None:
    """InputError where an example has several outputs in training, each with a curvature."""
    if train and network.n_predictions > 1:
        raise InputError(
            "Curvature is that of one output an example, and the members of a BatchEnsemble have"
            " one each in training mode. Take train=False, where they predict with their mean."
        )


def tape_of_drawn(network: Layer, loss: Loss, params: Any, passed: Passed, draw: Array) -> Tape:
    """The tape of a forward pass at targets drawn with the key `draw`: N rows."""
    output = passed.output.astype(accumulator(passed.output))
    seeds = drawn_gradient(loss, output, draw)
    return Tape(network.backward(params, passed.residual, seeds, need_grad_a=False)[1])


def tape_of_expected(network: Layer, loss: Loss, params: Any, passed: Passed) -> Tape:
    """The tape of a forward pass with the expectation over targets: N·K rows, nK + k of example n.

    The mean over example n's K rows is what the mean over its draws tends to. The backward pass
    runs K times, and the inputs of each layer are held K times.
    """
    output = passed.output.astype(accumulator(passed.output))
    roots = hessian_root(loss, output)
    rows = len(roots) * len(output)

    def records_of(seed: Float[Array, "N C"]) -> Any:
        return network.backward(params, passed.residual, seed, need_grad_a=False)[1]

    records = jax.vmap(records_of, out_axes=1)(math.sqrt(len(roots)) * roots)
    return Tape(jax.tree.map(lambda v: v.reshape(rows, *v.shape[2:]), records))


def expected_tape(
    network: Layer, loss: Loss, params: Any, x: Float[Array, "N I"], *, state: Any = None
) -> Tape:
    """The tape of the exact Gauss-Newton matrix in inference: N·K rows, nK + k of example n.

    K is C, or C − 1 for softmax, whose Hessian has that rank. Each parameter's second moment over
    the rows, their mean over N·K, is the diagonal of the
    generalized Gauss-Newton matrix of the mean loss. InputError for a loss without a distribution.
    """
    check_curvature(network, loss, False)
    return _expected(network, loss, params, known_state(network, state), x)


@partial(jax.jit, static_argnums=(0, 1))
def _expected(network: Layer, loss: Loss, params: Any, state: Any, x: Array) -> Tape:
    passed = Passed(*network.forward(params, state, x, train=False, key=None, mask=None))
    return tape_of_expected(network, loss, params, passed)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _with_drawn(
    network: Layer,
    loss: Loss,
    train: bool,
    params: Any,
    state: Any,
    x: Array,
    y: Array,
    c: Array,
    mask: Array | None,
    key: Array | None,
    draw: Array,
) -> tuple[Array, Any, Any, Tape]:
    passed = Passed(*network.forward(params, state, x, train=train, key=key, mask=mask))
    value, grads, _ = backward_from(network, loss, params, passed, y, c, c_comes_first=True)
    return value, passed.state, grads, tape_of_drawn(network, loss, params, passed, draw)


def loss_and_sampled_tape(network: Layer, loss: Loss, *, train: bool = True) -> Callable[..., Any]:
    """f(params, x, y, draw, *, state, weights, mask, key) -> (value, grads, tape of drawn targets).

    As `loss_and_tape`, whose arguments these are, but for the tape: one forward pass, a backward
    pass for the gradient at y, and another for the tape, at targets that the random key `draw`
    takes from the model's own distribution (Martens & Grosse 2015, §5). InputError for batch norm
    in training mode, or a loss without a distribution.
    """
    check_curvature(network, loss, train)

    def f(
        params: Any,
        x: Float[Given, "N I"],
        y: Given,
        draw: Array,
        *,
        state: Any = None,
        weights: Float[Given, " N"] | None = None,
        mask: Bool[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, mask, key)
        value, new_state, grads, tape = _with_drawn(*arguments, draw)
        return ((value, new_state) if network.has_state else value), grads, tape

    return f
