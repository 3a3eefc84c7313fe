"""Kronecker factors of the Fisher information, layer by layer (Martens & Grosse 2015, §3).

Example n's gradient of a dense layer is ãₙ ⊗ δₙ, ã the input with the bias's 1 appended, so that
its Fisher block is E[ããᵀ ⊗ δδᵀ]. Taken as if a and δ were independent, it is A ⊗ G with

    A = E[ããᵀ] = Σₙ pₙ ãₙãₙᵀ,   G = E[δδᵀ] = Σₙ pₙ δₙδₙᵀ:

(I + 1)² + J² numbers in place of ((I + 1) J)², and exact where N is 1.

Letters: N examples, I inputs and J outputs of a layer, pₙ = cₙ/Σc the share of example n.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mlp_jax.backprop.curvature_tape import check_curvature, tape_of_drawn
from mlp_jax.backprop.gradient import Passed
from mlp_jax.backprop.layer import accumulator, grad_weight
from mlp_jax.backprop.losses import Loss
from mlp_jax.backprop.moments import shares
from mlp_jax.backprop.records import Tape
from mlp_jax.backprop.specification import Layer
from mlp_jax.backprop.statistics import by_parameter, weighted_records

_BANDS, _WIDE = 4, 512


class KroneckerFactors(NamedTuple):
    """A (I + 1, I + 1), the bias's row and column last, or (I, I) without a bias; G (J, J).

    Symmetric up to rounding.
    """

    A: Float[Array, "A A"]
    G: Float[Array, "J J"]


def is_layer(node: Any) -> bool:
    """Whether a node of a tree of parameters, or of what has their shape, is a layer's dict."""
    return isinstance(node, dict)


def has_block(layer: dict[str, Any]) -> bool:
    """Whether a layer, by its parameters' names, has a weight matrix and perhaps its bias."""
    return "W" in layer and layer.keys() <= {"W", "b"}


def outer_moment(rows: Float[Array, "N J"], p: Float[Array, " N"]) -> Float[Array, "J J"]:
    """Σₙ pₙ rowₙ rowₙᵀ.

    Where it is wide, in bands of rows from the diagonal on, whose rest is mirrored: 5/8 of the
    products. (On a CPU the copies cost nearly what it saves: 3 % of gradient and factors.)
    """
    width = rows.shape[1]
    if width < _WIDE:
        return grad_weight(rows, rows, p)
    edges = [width * band // _BANDS for band in range(_BANDS + 1)]
    moment = jnp.zeros((width, width), accumulator(rows))
    for first, end in pairwise(edges):
        band = grad_weight(rows[:, first:end], rows[:, first:], p)
        moment = lax.dynamic_update_slice(moment, band, (first, first))
        rest = band[:, end - first :].T
        moment = lax.dynamic_update_slice(moment, rest, (end, first)) if end < width else moment
    return moment


@jax.jit
def kronecker_factors(tape: Tape, c: Float[Array, " M"] | None = None) -> Any:
    """A and G of each dense layer, in its place of the tree; c counts the examples (c=None: 1/N).

    A layer without a weight matrix has no blocks to speak of: in its place is the diagonal
    E[gₙ²] of each parameter, in a scale or shift (J,), in a table of embeddings (K, D); {} where
    there are no parameters. The tape says which Fisher information it is: those of
    `loss_and_sampled_tape` and `expected_tape` (whose c has an entry a row) give the one of the
    model; that of `loss_and_tape` has the true targets and gives what is called the *empirical*
    Fisher, which is another matrix (Kunstner 2019). InputError for a tape without each example's
    own gradient.
    """
    records, p = weighted_records(tape, c), shares(tape, c)

    def factors(layer: Any) -> Any:
        if not has_block(layer):
            return by_parameter(layer, lambda record: record.second_moment(p))
        a, delta = layer["W"]
        if "b" in layer:
            a = jnp.concatenate([a, jnp.ones((a.shape[0], 1), a.dtype)], axis=1)
        return KroneckerFactors(outer_moment(a, p), outer_moment(delta, p))

    return jax.tree.map(factors, records, is_leaf=is_layer)


def drawn_factors(
    network: Layer,
    loss: Loss,
    params: Any,
    state: Any,
    x: Float[Array, "N I"],
    c: Float[Array, " N"],
    key: Array | None,
    draw: Array,
) -> Any:
    """The factors of a batch in training mode, its dropout from `key`, its targets from `draw`.

    For a step of training: without the gradient, uncompiled. InputError as for the tape.
    """
    check_curvature(network, loss, True)
    passed = Passed(*network.forward(params, state, x, train=True, key=key, mask=None))
    return kronecker_factors(tape_of_drawn(network, loss, params, passed, draw), c)
