"""Loss, gradient norm and influence of each example, to find wrong labels.

A wrong label tends to have a large loss, a large gradient, and a gradient opposed to that of
correct rows. One forward and one backward pass in inference give all three, batch by batch.
Letters: N rows, I features, C outputs, gₙ = ∇Eₙ of row n.
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
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.inference import fitting_size, padded, runnable_precision
from mlp_jax.model.judge import encode_targets
from mlp_jax.model.precision import Precision

CHUNK = 1024  # rows per tape in memory
RANKINGS = ("loss", "gradient_norm", "influence")


class TrainedNetwork(NamedTuple):
    """A network with its weights and the preprocessing of its rows.

    Attributes:
        scaling: (scale, offset), each a number or (I,), applied as x·scale + offset; None for none.
        precision: name of the arithmetic.
    """

    network: Layer
    loss: Loss
    params: Params
    state: State = None
    scaling: tuple[Any, Any] | None = None
    precision: str = "float32"


class Reference(NamedTuple):
    """Rows on which influence is measured.

    gradient: Σ gₘ over the rows that count. n_rows: number of rows that count. all_count: whether
    misclassified rows count too.
    """

    gradient: Any
    n_rows: int
    all_count: bool


class Examples(NamedTuple):
    """Statistics of N rows under a network, in the order of the rows.

    Attributes:
        output: output of the network (N, C).
        loss: Eₙ.
        gradient_norm: ‖gₙ‖ over all parameters.
        influence: ⟨gₙ, ḡ⟩ with ḡ the mean gradient of the reference rows: the first-order decrease
            of their mean loss by a gradient step on this row at rate 1 (Pruthi 2020, "TracIn", of
            one checkpoint). Negative values are harmful.
    """

    output: Float[np.ndarray, "N C"]
    loss: Float[np.ndarray, " N"]
    gradient_norm: Float[np.ndarray, " N"]
    influence: Float[np.ndarray, " N"]


def suspects_first(examples: Examples, by: str) -> np.ndarray:
    """Return the indices of the rows (N,), the most suspicious first; ties in order.

    by: "loss" and "gradient_norm" put the largest first, "influence" the most harmful.
    """
    if by not in RANKINGS:
        raise UnknownNameError("ranking", by, RANKINGS)
    values = getattr(examples, by)
    return np.argsort(values if by == "influence" else -values, kind="stable")


def reference_of(trained: TrainedNetwork, x: Shaped[np.ndarray, "N I"], y: np.ndarray) -> Reference:
    """Return the reference of rows, preferably held-out ones; x and y as `examine` takes them.

    For labels only correctly classified rows count, if there are any. At the end of training the
    gradients of all rows cancel: held-out rows with wrong labels offset most of the others, which
    makes the sign of their sum random.
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
    trained: TrainedNetwork,
    x: Shaped[np.ndarray, "N I"],
    y: np.ndarray,
    reference: Reference | None = None,
    *,
    among: bool = False,
) -> Examples:
    """Return loss, gradient norm and influence of rows x (N, I) with targets y.

    Batch norm uses its running statistics and dropout is off, so that each row's gradient is
    independent of the others.

    Args:
        y: labels (N,), or (N, C), as the loss takes them.
        reference: `reference_of` other rows; None for these rows.
        among: these rows are the reference's rows; each is measured on the others.

    Raises:
        InputError: for rows and targets that do not fit the network.
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


def _ready(trained: TrainedNetwork) -> tuple[Precision, tuple[Any, Any, Any]]:
    """Return the policy, and weights, state and scaling for the compiled passes."""
    policy = runnable_precision(trained.precision)
    with policy.active():
        decoding = tuple(
            jnp.asarray(np.atleast_2d(v), policy.params) for v in trained.scaling or (1.0, 0.0)
        )
        state = known_state(trained.network, trained.state)
        return policy, (cast_weights(trained.params, policy.products), state, decoding)


def _chunks(
    trained: TrainedNetwork, policy: Precision, x: np.ndarray, y: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Iterate over (rows, targets, number of unpadded rows), all of one size."""
    if x.ndim != 2 or not len(x) or len(x) != len(y):
        raise InputError(
            f"x must be (N, I) and y have N rows, at least one, not {x.shape} and {y.shape}."
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
    """Return a mask of the rows that are correctly classified in every label; True for numbers."""
    if loss.function.targets == "real":
        return jnp.ones(len(output), bool)
    if y.ndim == 1 and output.shape[1] > 1:
        return jnp.argmax(output, axis=1).astype(y.dtype) == y
    if loss.name == "softmax_cross_entropy":
        return jnp.argmax(output, axis=1) == jnp.argmax(y, axis=1)
    return jnp.all((output > 0) == (y.reshape(output.shape) > 0.5), axis=1)


def _pass(
    network: Layer, loss: Loss, weights: Any, state: State, scaling: Any, x: Array, y: Array
) -> tuple[Array, Array, Any]:
    """Return (output, Eₙ, records) in inference."""
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
    state: State,
    scaling: Any,
    x: Array,
    y: Array,
    real: Array,
    all_count: Any,
) -> tuple[Any, Array]:
    """Return Σ gₘ over the rows that count, and their number; real: mask of unpadded rows."""
    output, losses, records = _pass(network, loss, weights, state, scaling, x, y)
    counts = real & (all_count | gets_right(loss, output, y))
    return contract(records, counts.astype(losses.dtype)), jnp.sum(counts)


@partial(jax.jit, static_argnums=(0, 1))
def _examined(
    network: Layer,
    loss: Loss,
    weights: Any,
    state: State,
    scaling: Any,
    reference: Any,
    among: Any,
    x: Array,
    y: Array,
) -> tuple[Array, Array, Array, Array]:
    """Return `Examples` of one chunk; a row in the reference is subtracted from its sum."""
    output, losses, records = _pass(network, loss, weights, state, scaling, x, y)
    squares = squared_norms(Tape(records))
    products = inner_products(Tape(records), reference.gradient)
    counted = among & (reference.all_count | gets_right(loss, output, y))
    own = counted.astype(squares.dtype)
    others = jnp.maximum(jnp.asarray(reference.n_rows, own.dtype) - own, 1)
    return output, losses, jnp.sqrt(squares), (products - own * squares) / others
