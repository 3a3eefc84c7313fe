"""What each example is to a trained network: its loss, its gradient's norm, its influence.

A wrong label is a large loss, a gradient that pulls hard, and a pull away from where rows that are
right would have the network go. One forward and one backward pass in inference give all three, for
any number of rows, batch by batch. Letters: N rows, I features, C outputs, gₙ = ∇Eₙ of row n.
"""

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from mlp_jax.backprop import Layer, Loss, Tape, contract, inner_products, squared_norms
from mlp_jax.backprop.gradient import cast_weights, known_state
from mlp_jax.backprop.losses import check_targets
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.inference import fitting_size, padded, runnable_precision
from mlp_jax.model.judge import encode_targets
from mlp_jax.model.precision import Precision

CHUNK = 1024  # rows whose tape is held at once
RANKINGS = ("loss", "gradient_norm", "influence")


class Trained(NamedTuple):
    """A network with its weights, and how rows come to it.

    scaling: (scale, offset), each a number or (I,); a row goes in as x·scale + offset, or as it is.
    """

    network: Layer
    loss: Loss
    params: Any
    state: Any = None
    scaling: tuple[Any, Any] | None = None
    precision: str = "float32"


class Reference(NamedTuple):
    """Rows whose loss influence is measured on: Σ gₘ over those that count, and how many do.

    all_count: whether rows count that the network gets wrong.
    """

    gradient: Any
    n_rows: int
    all_count: bool


class Examples(NamedTuple):
    """What N rows are to a network; every array (N, …) in the order of the rows.

    output: the network's, (N, C).  loss: Eₙ.  gradient_norm: ‖gₙ‖ over all parameters.
    influence: ⟨gₙ, ḡ⟩ with ḡ the mean gradient of the reference's rows: by how much a step of
    gradient descent on this row alone would lower their mean loss, at rate 1 and to first order
    (Pruthi 2020, "TracIn", of one checkpoint). Below 0 the row does harm.
    """

    output: Float[np.ndarray, "N C"]
    loss: Float[np.ndarray, " N"]
    gradient_norm: Float[np.ndarray, " N"]
    influence: Float[np.ndarray, " N"]


def suspects_first(examples: Examples, by: str) -> np.ndarray:
    """The places of the rows (N,), the most suspicious first; equal ones as they come.

    By the largest "loss" or "gradient_norm", or the "influence" that does most harm.
    """
    if by not in RANKINGS:
        raise UnknownNameError("ranking", by, RANKINGS)
    values = getattr(examples, by)
    return np.argsort(values if by == "influence" else -values, kind="stable")


def reference_of(trained: Trained, x: Shaped[np.ndarray, "N I"], y: np.ndarray) -> Reference:
    """The reference that rows make, best held-out ones; x and y as `examine` takes them.

    Of labels only rows that the network gets right count, where there are any. Where training has
    ended the gradients of all rows cancel: held-out rows whose own label is wrong take away most
    of what the others say, and the sign of their sum is chance.
    """
    policy, given = _ready(trained)
    with policy.active():
        for all_count in (False, True):
            found = [
                _summed(*trained[:2], *given, rows, targets, np.arange(len(rows)) < n, all_count)
                for rows, targets, n in _chunks(trained, policy, x, y)
            ]
            gradient, count = reduce(partial(jax.tree.map, jnp.add), found)
            if int(count) > 0:
                break
    return Reference(gradient, int(count), all_count)


def examine(
    trained: Trained,
    x: Shaped[np.ndarray, "N I"],
    y: np.ndarray,
    reference: Reference | None = None,
    *,
    among: bool = False,
) -> Examples:
    """The loss, gradient norm and influence of rows x (N, I) with their targets y.

    y as the loss takes it: labels (N,), or (N, C). reference: `reference_of` other rows, or None
    for these rows themselves. among: these rows are the reference's own; each is then measured on
    the others. Batch norm uses its running statistics and dropout is left out, so that each row
    has a gradient of its own. InputError for rows and targets that do not fit the network.
    """
    if reference is None:
        reference, among = reference_of(trained, x, y), True
    policy, given = _ready(trained)
    parts = []
    with policy.active():
        for rows, targets, n in _chunks(trained, policy, x, y):
            found = _examined(*trained[:2], *given, reference, among, rows, targets)
            parts.append([values[:n] for values in found])
        return Examples(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _ready(trained: Trained) -> tuple[Precision, tuple[Any, Any, Any]]:
    """The arithmetic, and weights, state and scaling as the compiled passes take them."""
    policy = runnable_precision(trained.precision)
    with policy.active():
        decoding = tuple(
            jnp.asarray(np.atleast_2d(v), policy.params) for v in trained.scaling or (1.0, 0.0)
        )
        state = known_state(trained.network, trained.state)
        return policy, (cast_weights(trained.params, policy.products), state, decoding)


def _chunks(
    trained: Trained, policy: Precision, x: np.ndarray, y: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """(rows, targets, how many of them are no padding), of one size or, of few rows, smaller."""
    if x.ndim != 2 or not len(x) or len(x) != len(y):
        raise InputError(
            f"x is (N, I) and y has N rows, at least one; these are {x.shape} and {y.shape}."
        )
    n_outputs = trained.network.width_out(x.shape[1])
    y = encode_targets(trained.loss, y, n_outputs)
    check_targets(trained.loss, y, n_outputs)
    kind = policy.params if np.issubdtype(y.dtype, np.floating) else np.int32
    size = min(CHUNK, fitting_size(len(x)))
    for start in range(0, len(x), size):
        rows, targets = x[start : start + size], y[start : start + size].astype(kind)
        rows = rows if rows.dtype == np.uint8 else rows.astype(policy.params)
        yield padded(rows, size), padded(targets, size), len(rows)


def gets_right(loss: Loss, output: Float[Array, "N C"], y: Array) -> Bool[Array, " N"]:
    """Whether the network decides as y says, for every label of a row; true of numbers."""
    if loss.function.targets == "real":
        return jnp.ones(len(output), bool)
    if y.ndim == 1 and output.shape[1] > 1:
        return jnp.argmax(output, axis=1).astype(y.dtype) == y
    if loss.name == "softmax_cross_entropy":
        return jnp.argmax(output, axis=1) == jnp.argmax(y, axis=1)
    return jnp.all((output > 0) == (y.reshape(output.shape) > 0.5), axis=1)


def _pass(
    network: Layer, loss: Loss, weights: Any, state: Any, scaling: Any, x: Array, y: Array
) -> tuple[Array, Array, Any]:
    """(output, Eₙ, records) in inference: every row's own gradient, whatever the network."""
    scale, offset = scaling
    a = x.astype(scale.dtype) * scale + offset
    output, _, residual = network.forward(weights, state, a, train=False, key=None, mask=None)
    output = output.astype(scale.dtype)
    _, records = network.backward(weights, residual, loss.gradient(output, y), need_grad_a=False)
    return output, loss.value(output, y), records


@partial(jax.jit, static_argnums=(0, 1))
def _summed(
    network: Layer,
    loss: Loss,
    weights: Any,
    state: Any,
    scaling: Any,
    x: Array,
    y: Array,
    real: Array,
    all_count: Any,
) -> tuple[Any, Array]:
    """Σ gₘ over the rows that count, and how many they are; real: which rows are no padding."""
    output, losses, records = _pass(network, loss, weights, state, scaling, x, y)
    counts = real & (all_count | gets_right(loss, output, y))
    return contract(records, counts.astype(losses.dtype)), jnp.sum(counts)


@partial(jax.jit, static_argnums=(0, 1))
def _examined(
    network: Layer,
    loss: Loss,
    weights: Any,
    state: Any,
    scaling: Any,
    reference: Any,
    among: Any,
    x: Array,
    y: Array,
) -> tuple[Array, Array, Array, Array]:
    """`Examples` of one chunk. A row that is itself in the reference's sum is taken out of it."""
    output, losses, records = _pass(network, loss, weights, state, scaling, x, y)
    squares = squared_norms(Tape(records))
    products = inner_products(Tape(records), reference.gradient)
    counted = among & (reference.all_count | gets_right(loss, output, y))
    own = counted.astype(squares.dtype)
    others = jnp.maximum(jnp.asarray(reference.n_rows, own.dtype) - own, 1)
    return output, losses, jnp.sqrt(squares), (products - own * squares) / others
