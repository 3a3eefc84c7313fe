"""Inner products of examples' gradients: Gram matrix, influence, the neural tangent kernel.

⟨gₙ, gₘ⟩ is the sum over the layers of ⟨aₙ, aₘ⟩⟨δₙ, δₘ⟩, one more ⟨δₙ, δₘ⟩ for the bias: products of
N rows with N rows of width I and of width J, where the gradients themselves have width IJ.

Letters: N and M examples, C outputs, gₙ the gradient of example n over all parameters.
"""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.gradient import known_state
from mlp_jax.backprop.records import Tape, contract, is_record
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.backprop.statistics import count, own_records, summed
from mlp_jax.errors import InputError

_BANDS = 4


def gram_matrix(tape: Tape, other: Tape | None = None) -> Float[Array, "N M"]:
    """Return the inner products of examples' gradients, K[n, m] = ⟨gₙ, gₘ⟩.

    K = Σ_layers (AAᵀ + 1) ∘ (ΔΔᵀ). Between a training and a test tape it is the influence of a
    training example on the loss of a test example, to first order, for a step of gradient descent
    at rate 1 (Pruthi 2020, "TracIn", who sum it over checkpoints, each times its learning rate).
    Within one tape it is exactly symmetric, and little more than half of it is computed.

    Args:
        tape: the tape of gₙ.
        other: the tape of gₘ; None uses `tape`.

    Returns:
        K (N, M).

    Raises:
        InputError: for tapes of different networks.
    """
    if other is None:
        return _within(tape)
    if _shapes(tape) != _shapes(other):
        raise InputError("The two tapes are of different networks: their parameters do not match.")
    return _between_tapes(tape, other)


def inner_products(tape: Tape, direction: Params) -> Float[Array, " N"]:
    """Return ⟨gₙ, v⟩ of every example's gradient with one direction v.

    Σ_layers aₙᵀ V δₙ, at the cost of one more forward pass. If v is the gradient of other rows'
    loss, this is the influence of each example on that loss (Pruthi 2020), without the Gram matrix.

    Args:
        tape: the tape of gₙ.
        direction: v, in the shape of the parameter tree.

    Returns:
        The products (N,).

    Raises:
        InputError: if v does not fit the tape's parameters.
    """
    records = own_records(tape)
    shapes = jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(contract, records, None))
    if jax.tree.map(jnp.shape, direction) != shapes:
        raise InputError("The direction does not match the tape's parameters.")
    return _along(records, direction)


@jax.jit
def _along(records: Records, direction: Params) -> Float[Array, " N"]:
    return summed(jax.tree.map(lambda r, v: r.along(v), records, direction, is_leaf=is_record))


def _shapes(tape: Tape) -> tuple[Any, list[Any]]:
    leaves, structure = jax.tree.flatten(own_records(tape))
    return structure, [leaf.shape[1:] for leaf in leaves]


def _between(records: Records, others: Records) -> Float[Array, "N M"]:
    return summed(jax.tree.map(lambda r, o: r.gram(o), records, others, is_leaf=is_record))


@jax.jit
def _between_tapes(tape: Tape, other: Tape) -> Float[Array, "N M"]:
    return _between(own_records(tape), own_records(other))


@jax.jit
def _within(tape: Tape) -> Float[Array, "N N"]:
    """Compute the upper triangle in bands of rows, each from its diagonal on, and mirror it."""
    records = own_records(tape)
    n = count(records)
    edges = [n * band // _BANDS for band in range(_BANDS + 1)]
    bands = []
    for first, end in pairwise(edges):
        rows = jax.tree.map(lambda leaf, first=first, end=end: leaf[first:end], records)
        onwards = jax.tree.map(lambda leaf, first=first: leaf[first:], records)
        bands.append(jnp.pad(_between(rows, onwards), ((0, 0), (first, 0))))
    upper = jnp.triu(jnp.concatenate(bands))
    return upper + jnp.triu(upper, 1).T


def tape_of_outputs(
    network: Layer, params: Params, x: Float[Array, "N I"], *, state: State = None
) -> Tape:
    """Return the tape of the outputs themselves, in inference mode.

    One forward pass, and a backward pass seeded by the c-th unit vector for each output c. Every
    statistic of a tape applies: its squared norms are those of the Jacobian's rows.

    Args:
        network: the network.
        params: its parameters.
        x: inputs (N, I).
        state: state of a network that has one.

    Returns:
        A tape with N·C rows; row nC + c is ∂s_c(xₙ)/∂θ.
    """
    return _tape_of_outputs(network, params, known_state(network, state), x)


@partial(jax.jit, static_argnums=0)
def _tape_of_outputs(network: Layer, params: Params, state: State, x: Float[Array, "N I"]) -> Tape:
    output, _, residual = network.forward(params, state, x, train=False, key=None, mask=None)
    n, n_outputs = output.shape

    def records_of(seed: Float[Array, " C"]) -> Records:
        seeds = jnp.broadcast_to(seed[None, :], output.shape)
        return network.backward(params, residual, seeds, need_grad_a=False)[1]

    records = jax.vmap(records_of, out_axes=1)(jnp.eye(n_outputs, dtype=output.dtype))
    flat = jax.tree.map(lambda v: v.reshape(n * n_outputs, *v.shape[2:]), records)
    return Tape(flat)


def tangent_kernel(
    network: Layer,
    params: Params,
    x: Float[Array, "N I"],
    other: Float[Array, "M I"] | None = None,
    *,
    state: State = None,
) -> Float[Array, "N M C C"]:
    """Return the empirical neural tangent kernel in inference mode (Jacot 2018).

    K[n, m, c, d] = ⟨∂s_c(xₙ)/∂θ, ∂s_d(xₘ)/∂θ⟩, in the Gram form for each pair of outputs,
    Σ_layers (AAᵀ + 1) ∘ (Δ_cΔ_dᵀ), with Δ_c from the backward pass seeded by output c. No Jacobian
    (N, C, P) is formed; the inputs of each layer are stored C times.

    Args:
        network: the network.
        params: its parameters.
        x: inputs (N, I).
        other: second inputs (M, I); None uses x.
        state: state of a network that has one.

    Returns:
        K (N, M, C, C).
    """
    tape = tape_of_outputs(network, params, x, state=state)
    beside = None if other is None else tape_of_outputs(network, params, other, state=state)
    n_outputs = network.width_out(x.shape[1])
    flat = gram_matrix(tape, beside)
    n, m = flat.shape[0] // n_outputs, flat.shape[1] // n_outputs
    return flat.reshape(n, n_outputs, m, n_outputs).transpose(0, 2, 1, 3)
