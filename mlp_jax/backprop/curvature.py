"""Curvature: products with the Hessian, the generalized Gauss-Newton matrix and its diagonal.

Letters: N examples, C outputs, P parameters; E = Σₙ cₙ Eₙ as in `gradient.py`. With Jₙ (C, P) the
Jacobian of the output of example n and ∇²Eₙ (C, C) the Hessian of its loss in the output,

    ∇²E = GGN + the curvature of the network itself,    GGN = Σₙ cₙ Jₙᵀ ∇²Eₙ Jₙ

(Schraudolph 2002). The first is what a change of the parameters does to the gradient, the second
has no negative eigenvalue where the loss is convex. Neither matrix is formed.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.block_records import SharedProduct
from mlp_jax.backprop.curvature_tape import check_one_prediction
from mlp_jax.backprop.gradient import Given, checked_arguments, forward_backward
from mlp_jax.backprop.hessians import check_convex, hessian_root
from mlp_jax.backprop.losses import Loss, as_loss
from mlp_jax.backprop.member_loss import loss_in
from mlp_jax.backprop.records import PerExample, Record, contract, is_record
from mlp_jax.backprop.row_products import wide
from mlp_jax.backprop.sampling import check_distribution, drawn_gradient
from mlp_jax.backprop.specification import Layer, Params, Records, Saved, State
from mlp_jax.backprop.statistics import by_parameter
from mlp_jax.errors import InputError


def hessian_product(network: Layer, loss: Loss | str, *, train: bool = True) -> Callable[..., Any]:
    """Make a function that multiplies the Hessian ∇²E of the loss by a vector.

    It is the derivative of ∇E along the vector, in forward mode through the hand-written backward
    pass (Pearlmutter 1994), at about the cost of two gradients. Batch norm in training mode is
    supported: E is a function of the parameters all the same.

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, vector, x, y, *, state, weights, mask, key) → ∇²E · vector. `vector`
        and the result have the shape of the parameter tree; the other arguments are those of
        `value_and_grad`.
    """
    loss = as_loss(loss)
    return _product(network, loss, train, _hessian_product)


def gauss_newton_product(
    network: Layer, loss: Loss | str, *, train: bool = True
) -> Callable[..., Any]:
    """Make a function that multiplies the generalized Gauss-Newton matrix by a vector.

    Σₙ cₙ Jₙᵀ ∇²Eₙ (Jₙ vector): a forward-mode derivative along the vector and one backward pass
    (Schraudolph 2002).

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, vector, x, y, *, state, weights, mask, key) → GGN · vector, with the
        arguments of `hessian_product`.

    Raises:
        InputError: for a loss that is not convex or has no curvature.
    """
    loss = as_loss(loss)
    check_convex(loss)
    return _product(network, loss, train, _gauss_newton_product)


def _product(
    network: Layer, loss: Loss, train: bool, product: Callable[..., Any]
) -> Callable[..., Any]:
    def f(
        params: Params,
        vector: Params,
        x: Float[Given, "N I"],
        y: Given,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        mask: Bool[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        _check_vector(params, vector)
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, mask, key)
        return product(*arguments[:3], vector, *arguments[3:])

    return f


def _check_vector(params: Params, vector: Params) -> None:
    shapes: list[Any] = [jax.tree.map(jnp.shape, tree) for tree in (params, vector)]
    if shapes[0] != shapes[1]:
        raise InputError("The vector must have the shape of the parameter tree, leaf by leaf.")


@partial(jax.jit, static_argnums=(0, 1, 2))
def _hessian_product(
    network: Layer, loss: Loss, train: bool, vector: Params, params: Params, *rest: Any
) -> Any:
    def gradient(at: Params) -> Params:
        return forward_backward(network, loss, train, at, *rest, per_example=False)[2]

    return jax.jvp(gradient, (params,), (vector,))[1]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _gauss_newton_product(
    network: Layer,
    loss: Loss,
    train: bool,
    vector: Params,
    params: Params,
    state: State,
    x: Float[Array, "N I"],
    y: Array,
    c: Float[Array, " N"],
    mask: Bool[Array, " N"] | None,
    key: Array | None,
) -> Any:
    def forward(at: Params) -> tuple[Array, Saved]:
        output, _, residual = network.forward(at, state, x, train=train, key=key, mask=mask)
        return output.astype(c.dtype), residual

    output, along, residual = jax.jvp(forward, (params,), (vector,), has_aux=True)
    minimized = loss_in(network, loss, train)
    _, bent = jax.jvp(lambda s: minimized.gradient(s, y), (output,), (along,))
    _, records = network.backward(params, residual, c[:, None] * bent, need_grad_a=False)
    return contract(records, None)


def gauss_newton_diagonal(
    network: Layer, loss: Loss | str, *, train: bool = True
) -> Callable[..., Any]:
    """Make a function that returns the diagonal of the generalized Gauss-Newton matrix.

    Exact (Dangel 2020, "BackPACK", DiagGGN): with SₙSₙᵀ = ∇²Eₙ, entry p is Σₙ cₙ Σ_k (Jₙᵀsₙₖ)²_p,
    the second moments of backward passes that start from the columns sₙₖ, C − 1 for softmax and C
    otherwise. A weight matrix needs one product (A∘A)ᵀ(c ⊙ Σ_k Δ_k∘Δ_k) for all of them, because
    they share the same a.

    Args:
        network: the network.
        loss: the loss, or its name.
        train: training mode (True) or inference.

    Returns:
        A function f(params, x, y, *, state, weights, key) → tree like the parameters, with the
        arguments of `value_and_grad`.

    Raises:
        InputError: for a loss without curvature, and for batch norm in training mode, which
            couples the examples.
    """
    loss = as_loss(loss)
    check_convex(loss)
    _check_apart(network, train)

    def f(
        params: Params,
        x: Float[Given, "N I"],
        y: Given,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, None, key)
        return _diagonal(None, *arguments)

    return f


def sampled_gauss_newton_diagonal(
    network: Layer, loss: Loss | str, *, samples: int = 1, train: bool = True
) -> Callable[..., Any]:
    """Make a function that estimates the Gauss-Newton diagonal without bias by sampling.

    Dangel 2020, DiagGGN-MC: each backward pass starts from ∇s at targets drawn from the model's own
    distribution, whose second moment is ∇²Eₙ (`sampling.py`). One sample costs one backward pass
    whatever C is.

    Args:
        network: the network.
        loss: the loss, or its name.
        samples: number of backward passes to average.
        train: training mode (True) or inference.

    Returns:
        A function f(params, x, y, draw, *, state, weights, key) → tree like the parameters. `draw`
        is the random key for the targets; the rest is as in `gauss_newton_diagonal`.

    Raises:
        InputError: for a loss that is not a negative log-likelihood, and for batch norm in training
            mode.
    """
    loss = as_loss(loss)
    check_distribution(loss)
    _check_apart(network, train)
    if samples < 1:
        raise InputError(f"The diagonal is estimated from at least 1 sample, not {samples}.")

    def f(
        params: Params,
        x: Float[Given, "N I"],
        y: Given,
        draw: Array,
        *,
        state: State = None,
        weights: Float[Given, " N"] | None = None,
        key: Array | None = None,
    ) -> Any:
        arguments = checked_arguments(network, loss, train, params, x, y, state, weights, None, key)
        return _diagonal(jax.random.split(draw, samples), *arguments)

    return f


def _check_apart(network: Layer, train: bool) -> None:
    if train and network.couples_examples:
        raise InputError(
            "Batch norm in training mode mixes the examples, so the Gauss-Newton matrix is not a"
            " sum over them: use train=False, or a network without batch norm."
        )
    check_one_prediction(network, train)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _diagonal(
    draws: Array | None,
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
) -> Any:
    output, _, residual = network.forward(params, state, x, train=train, key=key, mask=mask)
    output = output.astype(c.dtype)
    if draws is None:
        seeds = hessian_root(loss, output, y)
    else:
        drawn = jax.vmap(lambda draw: drawn_gradient(loss, output, draw))(draws)
        seeds = drawn / math.sqrt(len(draws))
    return summed_second_moment(network, params, residual, seeds, c)


def summed_second_moment(
    network: Layer,
    params: Params,
    residual: Saved,
    seeds: Float[Array, "K N C"],
    c: Float[Array, " N"],
) -> Any:
    """Σₙ cₙ Σ_k gₙₖ² in the shape of the parameter tree, gₙₖ the gradient that seed k gives.

    One record stands for the K backward passes, with δ = √Σ_k δ_k², and only one pass is in memory
    at a time: memory does not grow with K.
    """

    def records_of(seed: Float[Array, "N C"]) -> Records:
        return network.backward(params, residual, seed, need_grad_a=False)[1]

    def squares_of(records: Records) -> Records:
        return by_parameter(records, lambda record: _squares(record, c))

    def add(squares: Any, seed: Float[Array, "N C"]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, squares, squares_of(records_of(seed))), None

    first = records_of(seeds[0])
    squares, _ = lax.scan(add, squares_of(first), seeds[1:])

    def moment(record: Record, total: Array) -> Array:
        if isinstance(record, SharedProduct):
            return total
        return _with_delta(record, total).second_moment(c)

    return jax.tree.map(moment, first, squares, is_leaf=is_record)


def _squares(record: Record, c: Float[Array, " N"]) -> Array:
    """δ², in which the second moment is linear; δ if an example's rows are summed first."""
    if isinstance(record, SharedProduct):
        return record.second_moment(c)
    return wide(record.g if isinstance(record, PerExample) else record.delta) ** 2


def _with_delta(record: Record, squares: Array) -> Record:
    """Return the record with δ = √squares."""
    if isinstance(record, PerExample):
        return PerExample(jnp.sqrt(squares))
    if isinstance(record, tuple):
        return record._replace(delta=jnp.sqrt(squares))
    return replace(record, delta=jnp.sqrt(squares))
