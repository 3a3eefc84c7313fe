"""Kronecker factors of the Fisher information, layer by layer (Martens & Grosse 2015, §3).

Example n's gradient of a dense layer is ãₙ ⊗ δₙ, ã the input with the bias's 1 appended, so that
its Fisher block is E[ããᵀ ⊗ δδᵀ]. Assuming that a and δ are independent, it is A ⊗ G with

    A = E[ããᵀ] = Σₙ pₙ ãₙãₙᵀ,   G = E[δδᵀ] = Σₙ pₙ δₙδₙᵀ:

(I + 1)² + J² numbers in place of ((I + 1) J)², and exact for N = 1.

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
from mlp_jax.backprop.specification import Layer, Params, State
from mlp_jax.backprop.statistics import by_parameter, weighted_records

_BANDS, _WIDE = 4, 512


class KroneckerFactors(NamedTuple):
    """Kronecker factors of a dense layer's Fisher block, symmetric up to rounding.

    Attributes:
        A: (I + 1, I + 1) with the bias's row and column last, or (I, I) without a bias.
        G: (J, J).
    """

    A: Float[Array, "A A"]
    G: Float[Array, "J J"]


def is_layer(node: Any) -> bool:
    """Test whether a node of a parameter-shaped tree is a layer's dict."""
    return isinstance(node, dict)


def has_block(layer: dict[str, Any]) -> bool:
    """Test whether a layer has a weight matrix and at most its bias, by its parameters' names."""
    return "W" in layer and layer.keys() <= {"W", "b"}


def outer_moment(rows: Float[Array, "N J"], p: Float[Array, " N"]) -> Float[Array, "J J"]:
    """Σₙ pₙ rowₙ rowₙᵀ.

    If it is wide, in bands of rows from the diagonal on, mirrored: 5/8 of the products. (On a CPU
    the copies cost nearly what this saves: 3 % of gradient and factors.)
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
    """Return the Kronecker factors of each dense layer.

    The tape decides which Fisher information it is. Those of `loss_and_sampled_tape` and
    `expected_tape` (whose c has an entry per row) give the Fisher information of the model; that of
    `loss_and_tape` has the true targets and gives the *empirical* Fisher, which is another matrix
    (Kunstner 2019).

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: 1/N.

    Returns:
        A tree with `KroneckerFactors` in the place of each dense layer. Another layer has the
        diagonal E[gₙ²] of each parameter instead: (J,) for a scale or shift, (K, D) for a table of
        embeddings, {} without parameters.

    Raises:
        InputError: for a tape without per-example gradients.
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
    params: Params,
    state: State,
    x: Float[Array, "N I"],
    c: Float[Array, " N"],
    key: Array | None,
    draw: Array,
) -> Any:
    """Return the factors of a batch in training mode, dropout from `key`, targets from `draw`.

    For use inside a compiled training step: no gradient, not jitted. InputError as for the tape.
    """
    check_curvature(network, loss, True)
    passed = Passed(*network.forward(params, state, x, train=True, key=key, mask=None))
    return kronecker_factors(tape_of_drawn(network, loss, params, passed, draw), c)
