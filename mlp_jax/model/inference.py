"""Inference with a trained network: few batch shapes, each compiled once.

Letters: N rows, I features, C outputs.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.specification import Params, State
from mlp_jax.model.forked import check_not_inherited, jax_is_inherited
from mlp_jax.model.precision import Precision, has_tf32, known_precision

CHUNK = 4096  # rows per call; shorter batches are padded to a power of two
_SMALLEST = 16
_AHEAD = 2  # chunks in flight while one is fetched


class Outputs(NamedTuple):
    """Linear output of a network (N, C) and the loss's prediction (N, C)."""

    linear: Float[np.ndarray, "N C"]
    predicted: Float[np.ndarray, "N C"]


def runnable_precision(name: str) -> Precision:
    """Return the policy of that name; float32 replaces tf32 on a device without it.

    Raises ForkError in a process that was forked after JAX had started.
    """
    check_not_inherited("compute")
    if name == "tf32" and not has_tf32(jax.devices()[0]):
        name = "float32"
    return known_precision(name)


def network_input(
    precision: Precision, scaling: tuple[Any, Any] | None, x: Shaped[Array, "N I"]
) -> Float[Array, "N I"]:
    """Return rows in the network's dtype, with x·scale + offset applied if given."""
    x = x.astype(precision.params)
    if scaling is None:
        return x
    return x * scaling[0].astype(precision.params) + scaling[1].astype(precision.params)


def infer(
    network: Layer,
    loss: Loss,
    multilabel: bool,
    precision: Precision,
    params: Params,
    layer_state: State,
    scaling: tuple[Any, Any] | None,
    x: Shaped[Array, "N I"],
) -> tuple[Float[Array, "N C"], Float[Array, "N C"]]:
    """Return the output and the prediction of rows; x·scale + offset first if given."""
    x = network_input(precision, scaling, x)
    weights = cast_weights(params, precision.products)
    output, _, _ = network.forward(weights, layer_state, x, train=False, key=None, mask=None)
    output = output.astype(precision.params)
    return output, loss.predict(output, multilabel=multilabel)


_compiled = partial(jax.jit, static_argnums=(0, 1, 2, 3))(infer)


def outputs(
    network: Layer,
    loss: Loss,
    multilabel: bool,
    precision: Precision,
    params: Params,
    layer_state: State,
    scaling: tuple[Any, Any] | None,
    x: Shaped[np.ndarray, "N I"],
) -> Outputs:
    """Apply `infer` to any number of host rows, chunk by chunk; by NumPy in a forked process."""
    if not len(x):
        empty = np.zeros((0, network.width_out(x.shape[1])), precision.params)
        return Outputs(empty, empty)
    if jax_is_inherited():
        return _by_numpy(network, loss, multilabel, precision, params, layer_state, scaling, x)
    call = partial(_compiled, network, loss, multilabel, precision, params, layer_state, scaling)
    with precision.active():
        parts = list(in_chunks(call, x))
    return Outputs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _by_numpy(
    network: Layer,
    loss: Loss,
    multilabel: bool,
    precision: Precision,
    params: Params,
    layer_state: State,
    scaling: tuple[Any, Any] | None,
    x: Shaped[np.ndarray, "N I"],
) -> Outputs:
    """Compute `outputs` without JAX; bf16 and tf32 products are computed in float32."""
    from mlp_jax.model import numpy_network

    dtype = np.dtype(precision.params)
    parts = []
    for start in range(0, len(x), CHUNK):
        rows = x[start : start + CHUNK].astype(dtype)
        if scaling is not None:
            scale, offset = (np.asarray(part).astype(dtype) for part in scaling)
            rows = rows * scale + offset
        parts.append(numpy_network.infer(network, loss, multilabel, params, layer_state, rows))
    return Outputs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def in_chunks(
    call: Callable[[np.ndarray], tuple[Array, ...]],
    x: Shaped[np.ndarray, "N I"],
    rows: int = CHUNK,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Iterate over the results of `call` for each chunk of rows, on the host, a few in flight.

    The last chunk is padded with zero rows, whose results are dropped.
    """
    waiting: deque[tuple[int, Any]] = deque()

    def fetched() -> tuple[np.ndarray, ...]:
        n, found = waiting.popleft()
        return tuple(np.asarray(values)[:n] for values in found)

    for start in range(0, len(x), rows):
        chunk = x[start : start + rows]
        waiting.append((len(chunk), call(padded(chunk, fitting_size(len(chunk))))))
        if len(waiting) > _AHEAD:
            yield fetched()
    while waiting:
        yield fetched()


def losses(
    loss: Loss, precision: Precision, linear: Float[np.ndarray, "N C"], y: np.ndarray
) -> Float[np.ndarray, " N"]:
    """Return Eₙ of every row from the network's output and encoded targets."""
    with precision.active():
        y = y.astype(precision.params) if np.issubdtype(y.dtype, np.floating) else y
        return np.asarray(jax.jit(loss.value)(jnp.asarray(linear), jnp.asarray(y)))


def fitting_size(n: int) -> int:
    """Return the power of two that n rows are padded to, so that few shapes are compiled."""
    return max(_SMALLEST, 1 << (n - 1).bit_length())


def padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Pad rows with zeros to `size`."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
