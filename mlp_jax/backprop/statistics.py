"""What the tape says of each example: norms, gradients on request, clipping. One backward pass.

Letters: N examples, gₙ = ∇Eₙ the gradient of example n's own loss, over all parameters or one of
them; c (N,) counts the examples. No gₙ is formed: what each record gives stands in `records.py`,
and here the parameters are put together. `moments.py` has second moments and the noise scale,
`gram.py` the inner products of examples with each other.

Every function here is pure and compiled. Where the caller compiles too, together with
`loss_and_tape`, the tape never leaves the program, and what is not used is not computed.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.records import Record, Tape, contract, is_record
from mlp_jax.errors import InputError

ParameterPath = tuple[Any, ...]


def own_records(tape: Tape) -> Any:
    """The records of a tape that holds each example's own gradient.

    InputError where the weights are in the records already, or there are none.
    """
    if tape.weighted:
        raise InputError(
            "This tape holds no example's own gradient: the weights are in its records already, "
            "because batch norm in training mode mixes the examples, or because the pass ran with "
            "per_example=False. Take a network without batch norm, or train=False."
        )
    if not jax.tree.leaves(tape.records):
        raise InputError("This tape is of a network without parameters: there is no gradient.")
    return tape.records


def weighted_records(tape: Tape, c: Float[Array, " M"] | None) -> Any:
    """`own_records`, once c is known to have an entry for each example; InputError if not."""
    records = own_records(tape)
    n = count(records)
    if c is not None and c.shape != (n,):
        raise InputError(f"c has one entry an example, ({n},), not {tuple(c.shape)}.")
    return records


def count(records: Any) -> int:
    """N, how many examples the records are of."""
    return jax.tree.leaves(records)[0].shape[0]


def by_parameter(records: Any, statistic: Any) -> Any:
    """statistic(record) of every record, in the shape of the parameter tree."""
    return jax.tree.map(statistic, records, is_leaf=is_record)


def summed(tree: Any) -> Array:
    """The sum of all leaves."""
    return reduce(jnp.add, jax.tree.leaves(tree))


def by_layer(tree: Any) -> Any:
    """The leaves of each layer summed; None for a layer that has none."""
    return jax.tree.map(
        lambda layer: summed(layer) if jax.tree.leaves(layer) else None,
        tree,
        is_leaf=lambda node: isinstance(node, dict),
    )


@jax.jit
def squared_norms_by_parameter(tape: Tape) -> Any:
    """‖gₙ‖² over each parameter by itself: (N,) in the place of each parameter.

    ‖aₙ‖²‖δₙ‖² for a weight matrix, ‖δₙ‖² for a bias (Goodfellow 2015, "Efficient Per-Example
    Gradient Computations"). N(I + J) products a layer in place of NIJ.
    """
    return by_parameter(own_records(tape), lambda record: record.squared_norms())


@jax.jit
def squared_norms_by_layer(tape: Tape) -> Any:
    """‖gₙ‖² over each layer, (N,): ‖δₙ‖²(‖aₙ‖² + 1) for a dense layer with bias (Goodfellow 2015).

    The tree has the shape of the parameter tree down to the layers; None for one without any.
    """
    return by_layer(squared_norms_by_parameter(tape))


@jax.jit
def squared_norms(tape: Tape) -> Float[Array, " N"]:
    """‖gₙ‖² over all parameters, Σ_layers ‖δₙ‖²(‖aₙ‖² + 1) in a dense network (Goodfellow 2015)."""
    return summed(squared_norms_by_parameter(tape))


def per_example_gradients(tape: Tape) -> Iterator[tuple[ParameterPath, Float[Array, "N ..."]]]:
    """(path, gₙ of every example) of one parameter after the other, each formed when asked for.

    path: where the parameter stands in the tree, such as (0, "W"); the gradients (N, *shape). All
    of them at once would be N times the network: let go of one before the next.
    """
    for path, record in _with_paths(own_records(tape)):
        yield path, _gradients(record)


def per_example_gradient(tape: Tape, path: ParameterPath) -> Float[Array, "N ..."]:
    """gₙ (N, *shape) of every example for one parameter, by its place: (0, "W").

    InputError where the tree has no such parameter.
    """
    found = dict(_with_paths(own_records(tape)))
    if path not in found:
        raise InputError(f"The tape has no parameter {path}. It has {', '.join(map(str, found))}.")
    return _gradients(found[path])


def _with_paths(records: Any) -> list[tuple[ParameterPath, Record]]:
    """Every record with its place in the tree."""
    return [
        (tuple(getattr(key, "key", getattr(key, "idx", None)) for key in keys), record)
        for keys, record in jax.tree_util.tree_leaves_with_path(records, is_leaf=is_record)
    ]


@jax.jit
def _gradients(record: Record) -> Array:
    return record.gradients()


class Clipped(NamedTuple):
    """What clipping gave: Σₙ cₙ fₙ gₙ, the norms ‖gₙ‖ (N,) before it, and the factors fₙ (N,)."""

    grads: Any
    norms: Float[Array, " N"]
    factors: Float[Array, " N"]


def clip_per_example(
    tape: Tape, bound: float | Array, c: Float[Array, " M"] | None = None
) -> Clipped:
    """Σₙ cₙ fₙ gₙ with fₙ = min(1, bound/‖gₙ‖): no example counts with more than `bound`.

    From the same tape: norms first, then equation 3 with c ⊙ f, where a gradient of the clipped
    loss would be a second backward pass (Bu 2022, "Differentially Private Optimization on Large
    Model at Small Cost", book-keeping). A gradient of 0 stays 0, with factor 1. c=None: the sum;
    1/N: the mean. InputError unless bound > 0.
    """
    if not isinstance(bound, jax.core.Tracer) and not bool(bound > 0):
        raise InputError(f"The bound of a norm is positive, not {bound}.")
    return _clipped(tape, bound, c)


@jax.jit
def _clipped(tape: Tape, bound: Any, c: Array | None) -> Clipped:
    records = weighted_records(tape, c)
    norms = jnp.sqrt(squared_norms(tape))
    factors = jnp.minimum(1, jnp.asarray(bound, norms.dtype) / norms)
    used = factors if c is None else c.astype(norms.dtype) * factors
    return Clipped(contract(records, used), norms, factors)
