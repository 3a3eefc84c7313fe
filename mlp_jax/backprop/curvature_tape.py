"""Tapes of the curvature: backward passes that start from the loss's own distribution.

The tape of a loss stores δ at the true targets. Here δ comes from gradients whose second moment
is H = ∂²E/∂s² of the output: one at a target drawn from the model, or as many as represent the
expectation. Every statistic of a tape accepts these tapes; its second moments of gradients then
become those of the generalized Gauss-Newton matrix (the Fisher information, `sampling.py`).

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
from mlp_jax.backprop.losses import Loss, as_loss
from mlp_jax.backprop.records import Tape
from mlp_jax.backprop.sampling import check_distribution, drawn_gradient
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.errors import InputError


def check_curvature(network: Layer, loss: Loss, train: bool) -> None:
    """Raise InputError if examples are coupled or the loss has no distribution."""
    if train and network.couples_examples:
        raise InputError(
            "Curvature needs each example by itself, but batch norm in training mode mixes the"
            " examples: use a network without batch norm, or train=False."
        )
    check_one_prediction(network, train)
    check_distribution(loss)


def check_one_prediction(network: Layer, train: bool) -> None:
    """Raise InputError if an example has several outputs in training, each with a curvature."""
    if train and network.n_predictions > 1:
        raise InputError(
            "Curvature needs one output per example, but the members of a BatchEnsemble have one"
            " each in training mode: use train=False, where they predict their mean."
        )


def tape_of_drawn(network: Layer, loss: Loss, params: Params, passed: Passed, draw: Array) -> Tape:
    """Return the tape of a forward pass at targets drawn with the key `draw`: N rows."""
    output = passed.output.astype(accumulator(passed.output))
    seeds = drawn_gradient(loss, output, draw)
    return Tape(network.backward(params, passed.residual, seeds, need_grad_a=False)[1])


def tape_of_expected(network: Layer, loss: Loss, params: Params, passed: Passed) -> Tape:
    """Return the tape of a forward pass in expectation over targets: N·K rows, nK + k of example n.

    The mean over example n's K rows is the limit of the mean over its draws. The backward pass
    runs K times, and the inputs of each layer are stored K times.
    """
    output = passed.output.astype(accumulator(passed.output))
    roots = hessian_root(loss, output)
    rows = len(roots) * len(output)

    def records_of(seed: Float[Array, "N C"]) -> Records:
        return network.backward(params, passed.residual, seed, need_grad_a=False)[1]

    records = jax.vmap(records_of, out_axes=1)(math.sqrt(len(roots)) * roots)
    return Tape(jax.tree.map(lambda v: v.reshape(rows, *v.shape[2:]), records))


def expected_tape(
    network: Layer, loss: Loss | str, params: Params, x: Float[Array, "N I"], *, state: State = None
) -> Tape:
    """Return the tape of the exact Gauss-Newton matrix in inference mode.

    Each parameter's mean second moment over the N·K rows is the diagonal of the generalized
    Gauss-Newton matrix of the mean loss.

    Args:
        network: the network.
        loss: the loss, or its name.
        params: its parameters.
        x: inputs (N, I).
        state: state of a network that has one.

    Returns:
        A tape with N·K rows, row nK + k of example n. K is C, or C − 1 for softmax, whose Hessian
        has that rank.

    Raises:
        InputError: for a loss without a distribution.
    """
    loss = as_loss(loss)
    check_curvature(network, loss, False)
    return _expected(network, loss, params, known_state(network, state), x)


@partial(jax.jit, static_argnums=(0, 1))
def _expected(network: Layer, loss: Loss, params: Params, state: State, x: Array) -> Tape:
    passed = Passed(*network.forward(params, state, x, train=False, key=None, mask=None))
    return tape_of_expected(network, loss, params, passed)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _with_drawn(
    network: Layer,
    loss: Loss,
    train: bool,
    params: Params,
    state: State,
    x: Array,
    y: Array,
    c: Array,
    mask: Array | None,
    key: Array | None,
    draw: Array,
) -> tuple[Array, State, Params, Tape]:
    passed = Passed(*network.forward(params, state, x, train=train, key=key, mask=mask))
    value, grads, _ = backward_from(network, loss, params, passed, y, c, c_comes_first=True)
    return value, passed.state, grads, tape_of_drawn(network, loss, params, passed, draw)


def loss_and_sampled_tape(
    network: Layer, loss: Loss | str, *, train: bool = True
) -> Callable[..., Any]:
    """Make a function that returns the loss, its gradient, and a tape at sampled targets.

    One forward pass, one backward pass for the gradient at y, and one for the tape, at targets
    drawn from the model's own distribution (Martens & Grosse 2015, §5).

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, x, y, draw, *, state, weights, mask, key) → (value, grads, tape).
        `draw` is the random key for the targets; the rest is as in `loss_and_tape`.

    Raises:
        InputError: for batch norm in training mode, and for a loss without a distribution.
    """
    loss = as_loss(loss)
    check_curvature(network, loss, train)

    def f(
        params: Params,
        x: Float[Given, "N I"],
        y: Given,
        draw: Array,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        mask: Bool[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, mask, key)
        value, new_state, grads, tape = _with_drawn(*arguments, draw)
        return ((value, new_state) if network.has_state else value), grads, tape

    return f
