"""Per-example statistics of the tape: norms, gradients on request, clipping. One backward pass.

Letters: N examples, gₙ = ∇Eₙ the gradient of example n's own loss, over all parameters or one of
them; c (N,) weights the examples. No gₙ is formed: `records.py` has the formula of each record,
and here the parameters are combined. `moments.py` has second moments and the noise scale, `gram.py`
the inner products of examples with each other.

Every function here is pure and jitted. If the caller jits it together with `loss_and_tape`, the
tape never leaves the program, and unused parts are not computed.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mlp_jax.backprop.records import Record, Tape, contract, is_record
from mlp_jax.backprop.specification import Params, Records
from mlp_jax.errors import InputError

ParameterPath = tuple[Any, ...]


def own_records(tape: Tape) -> Records:
    """Return the records of a tape with per-example gradients.

    InputError if the records are weighted already, or there are none.
    """
    if tape.weighted:
        raise InputError(
            "This tape has no per-example gradients, because batch norm in training mode mixes the "
            "examples, or because the pass ran with per_example=False. Use a network without "
            "batch norm, or train=False."
        )
    if not jax.tree.leaves(tape.records):
        raise InputError("This tape is of a network without parameters: there is no gradient.")
    return tape.records


def weighted_records(tape: Tape, c: Float[Array, " M"] | None) -> Records:
    """Return `own_records` after checking that c has an entry for each example; else InputError."""
    records = own_records(tape)
    n = count(records)
    if c is not None and c.shape != (n,):
        raise InputError(f"c must have one entry per example, ({n},), not {tuple(c.shape)}.")
    return records


def count(records: Records) -> int:
    """N, the number of examples of the records."""
    return jax.tree.leaves(records)[0].shape[0]


def by_parameter(records: Records, statistic: Any) -> Any:
    """Apply statistic(record) to every record, in the shape of the parameter tree."""
    return jax.tree.map(statistic, records, is_leaf=is_record)


def summed(tree: PyTree) -> Array:
    """Sum of all leaves."""
    return reduce(jnp.add, jax.tree.leaves(tree))


def by_layer(tree: PyTree) -> Any:
    """Sum the leaves of each layer; None for a layer without any."""
    return jax.tree.map(
        lambda layer: summed(layer) if jax.tree.leaves(layer) else None,
        tree,
        is_leaf=lambda node: isinstance(node, dict),
    )


@jax.jit
def squared_norms_by_parameter(tape: Tape) -> Any:
    """Return ‖gₙ‖² of each parameter.

    ‖aₙ‖²‖δₙ‖² for a weight matrix, ‖δₙ‖² for a bias (Goodfellow 2015, "Efficient Per-Example
    Gradient Computations"). N(I + J) products per layer in place of NIJ.

    Args:
        tape: a tape with per-example gradients.

    Returns:
        A tree with (N,) in the place of each parameter.
    """
    return by_parameter(own_records(tape), lambda record: record.squared_norms())


@jax.jit
def squared_norms_by_layer(tape: Tape) -> Any:
    """Return ‖gₙ‖² of each layer, ‖δₙ‖²(‖aₙ‖² + 1) for a dense layer with bias (Goodfellow 2015).

    Args:
        tape: a tape with per-example gradients.

    Returns:
        A tree with (N,) in the place of each layer; None for one without parameters.
    """
    return by_layer(squared_norms_by_parameter(tape))


@jax.jit
def squared_norms(tape: Tape) -> Float[Array, " N"]:
    """Return ‖gₙ‖² over all parameters (Goodfellow 2015).

    Σ_layers ‖δₙ‖²(‖aₙ‖² + 1) in a dense network.

    Args:
        tape: a tape with per-example gradients.

    Returns:
        The squared norms (N,).
    """
    return summed(squared_norms_by_parameter(tape))


def per_example_gradients(tape: Tape) -> Iterator[tuple[ParameterPath, Float[Array, "N ..."]]]:
    """Iterate over the parameters with the gradients of every example, formed one at a time.

    All of them at once would need N times the memory of the network: drop one before the next.

    Args:
        tape: a tape with per-example gradients.

    Returns:
        Pairs (path, gradients): the parameter's place in the tree, such as (0, "W"), and gₙ
        (N, *shape).
    """
    for path, record in _with_paths(own_records(tape)):
        yield path, _gradients(record)


def per_example_gradient(tape: Tape, path: ParameterPath) -> Float[Array, "N ..."]:
    """Return gₙ of every example for one parameter.

    Args:
        tape: a tape with per-example gradients.
        path: the parameter's place in the tree, such as (0, "W").

    Returns:
        The gradients (N, *shape).

    Raises:
        InputError: if there is no such parameter.
    """
    found = dict(_with_paths(own_records(tape)))
    if path not in found:
        raise InputError(f"The tape has no parameter {path}. It has {', '.join(map(str, found))}.")
    return _gradients(found[path])


def _with_paths(records: Records) -> list[tuple[ParameterPath, Record]]:
    """Iterate over the records with their places in the tree."""
    return [
        (tuple(getattr(key, "key", getattr(key, "idx", None)) for key in keys), record)
        for keys, record in jax.tree_util.tree_leaves_with_path(records, is_leaf=is_record)
    ]


@jax.jit
def _gradients(record: Record) -> Array:
    return record.gradients()


class Clipped(NamedTuple):
    """Result of clipping.

    Attributes:
        grads: Σₙ cₙ fₙ gₙ.
        norms: ‖gₙ‖ (N,) before clipping.
        factors: fₙ (N,).
    """

    grads: Params
    norms: Float[Array, " N"]
    factors: Float[Array, " N"]


def clip_per_example(
    tape: Tape, bound: float | Array, c: Float[Array, " M"] | None = None
) -> Clipped:
    """Return the sum of gradients clipped per example, Σₙ cₙ fₙ gₙ with fₙ = min(1, bound/‖gₙ‖).

    From one tape: norms first, then equation 3 with c ⊙ f, where a gradient of the clipped loss
    would need a second backward pass (Bu 2022, "Differentially Private Optimization on Large Model
    at Small Cost", book-keeping). A gradient of 0 stays 0, with factor 1.

    Args:
        tape: a tape with per-example gradients.
        bound: the largest norm of an example's gradient.
        c: weights of the examples; None: ones, which gives the sum; 1/N gives the mean.

    Returns:
        The clipped gradient with norms and factors.

    Raises:
        InputError: unless bound > 0.
    """
    if not isinstance(bound, jax.core.Tracer) and not bool(bound > 0):
        raise InputError(f"The norm bound must be positive, not {bound}.")
    return _clipped(tape, bound, c)


@jax.jit
def _clipped(tape: Tape, bound: Any, c: Array | None) -> Clipped:
    records = weighted_records(tape, c)
    norms = jnp.sqrt(squared_norms(tape))
    factors = jnp.minimum(1, jnp.asarray(bound, norms.dtype) / norms)
    used = factors if c is None else c.astype(norms.dtype) * factors
    return Clipped(contract(records, used), norms, factors)
