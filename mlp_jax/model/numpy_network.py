"""Inference of a trained network in NumPy, for processes in which JAX cannot compute.

Each layer's forward equation as in `backprop`, in the dtype of the rows. Letters: N rows, I inputs,
J outputs, G features or groups, K members, C outputs of the network.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.typing import DTypeLike
from scipy import special

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Beside,
    BlockDense,
    Categories,
    Cosines,
    Dense,
    Dropout,
    Ensemble,
    FeatureScale,
    Layer,
    LayerNorm,
    Loss,
    MeanOfMembers,
    Members,
    NTKScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    Residual,
    RMSNorm,
    Sequential,
    SharedDense,
)
from mlp_jax.backprop.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from mlp_jax.backprop.specification import Params, State
from mlp_jax.model.forked import check_not_inherited

Rows = np.ndarray
_TURN = 2 * math.pi


def _elu(z: Rows) -> Rows:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def _softplus(z: Rows) -> Rows:
    return np.logaddexp(z, np.zeros((), z.dtype))


def _gelu(z: Rows) -> Rows:
    return z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) * 0.5


ACTIVATIONS: dict[str, Callable[[Rows], Rows]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z >= 0, z, LEAKY_SLOPE * z),
    "relu6": lambda z: np.clip(z, 0, 6),
    "squared_relu": lambda z: np.maximum(z, 0) ** 2,
    "elu": _elu,
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * _elu(z)),
    "celu": _elu,
    "gelu": _gelu,
    "gelu_exact": lambda z: 0.5 * z * special.erfc(-math.sqrt(0.5) * z),
    "silu": lambda z: z * special.expit(z),
    "mish": lambda z: z * np.tanh(_softplus(z)),
    "tanh": np.tanh,
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "sigmoid": special.expit,
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "softplus": _softplus,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "log_sigmoid": special.log_expit,
}


def infer(
    network: Layer, loss: Loss, multilabel: bool, params: Params, state: State, x: Rows
) -> tuple[Rows, Rows]:
    """Return the output (N, C) and the prediction (N, C) of rows x (N, I), in the type of x."""
    with np.errstate(all="ignore"):
        output = forward(network, params, state, x)
        return output, _predicted(loss, output, multilabel)


def _predicted(loss: Loss, output: Rows, multilabel: bool) -> Rows:
    """Compute `Loss.predict` of the network's output."""
    link = loss.function.predict
    if link == "softmax" and not multilabel and output.shape[1] > 1:
        return special.softmax(output, axis=1)
    if link == "identity":
        return output
    return np.exp(output) if link == "exp" else special.expit(output)


def forward(layer: Layer, params: Params, state: State, a: Rows) -> Rows:
    """Return a' of rows a (N, I) in inference; ForkError for a layer without an entry here."""
    if type(layer) not in _LAYERS:
        check_not_inherited(f"compute the layer {layer}")
        raise NotImplementedError(f"The layer {layer} has no forward pass in NumPy.")
    typed = params
    if isinstance(params, dict):
        typed = {
            name: np.asarray(leaf).astype(a.dtype, copy=False) for name, leaf in params.items()
        }
    return _LAYERS[type(layer)](layer, typed, state, a).astype(a.dtype, copy=False)


def _activation(name: str) -> Callable[[Rows], Rows]:
    """Return the activation in NumPy; ForkError for one that the user registered."""
    if name not in ACTIVATIONS:
        check_not_inherited(f"compute the activation {name}")
        raise NotImplementedError(f"The activation {name} has no form in NumPy.")
    return ACTIVATIONS[name]


def _dense(layer: Dense, params: Params, state: State, a: Rows) -> Rows:
    """A' = f(A W + 1bᵀ)."""
    z = a @ params["W"]
    return _activation(layer.activation)(z + params["b"] if "b" in params else z)


def _block_dense(layer: BlockDense, params: Params, state: State, a: Rows) -> Rows:
    """Zg = Ag Wg + 1bgᵀ."""
    z = np.einsum("ngi,gij->ngj", a.reshape(len(a), layer.n_blocks, -1), params["W"])
    return _activation(layer.activation)(z.reshape(len(a), -1) + params["b"])


def _shared_dense(layer: SharedDense, params: Params, state: State, a: Rows) -> Rows:
    """Z = s ⊙ (r ⊙ A) W + b."""
    W = params["W"]
    u = ((a * params["r"]).reshape(-1, len(W)) @ W).reshape(len(a), -1)
    return _activation(layer.activation)(u * params["s"] + params["b"])


def _categories(layer: Categories, params: Params, state: State, a: Rows) -> Rows:
    """Concatenate the numbers and each code's row of its table; zeros for code 0."""
    blocks = [a[:, : layer.n_numeric]]
    codes = a[:, layer.n_numeric :].astype(np.int64)
    for j, (n_codes, width) in enumerate(zip(layer.codes, layer.widths, strict=True)):
        table = params[f"embedding_{j}"] if width else np.eye(n_codes, dtype=a.dtype)
        known = np.concatenate([np.zeros((1, table.shape[1]), a.dtype), table])
        blocks.append(known[codes[:, j]])
    return np.concatenate(blocks, axis=1)


def _layer_norm(layer: LayerNorm, params: Params, state: State, a: Rows) -> Rows:
    centred = a - a.mean(axis=1, keepdims=True)
    variance = (centred**2).mean(axis=1, keepdims=True)
    return params["scale"] * (centred / np.sqrt(variance + layer.epsilon)) + params["shift"]


def _rms_norm(layer: RMSNorm, params: Params, state: State, a: Rows) -> Rows:
    return params["scale"] * (a / np.sqrt((a**2).mean(axis=1, keepdims=True) + layer.epsilon))


def _batch_norm(layer: BatchNorm, params: Params, state: State, a: Rows) -> Rows:
    mean, variance = (np.asarray(state[name]).astype(a.dtype) for name in ("mean", "variance"))
    return params["scale"] * ((a - mean) / np.sqrt(variance + layer.epsilon)) + params["shift"]


def _phases(a: Rows, rates: Rows, n: int) -> Rows:
    """Return 2π c x of each frequency of each feature, (N, G·K)."""
    return _TURN * np.repeat(a, n, axis=1) * rates


def _periodic(layer: Periodic, params: Params, state: State, a: Rows) -> Rows:
    phase = _phases(a, params["c"], layer.frequencies).reshape(*a.shape, layer.frequencies)
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=2).reshape(len(a), -1)


def _cosines(layer: Cosines, params: Params, state: State, a: Rows) -> Rows:
    return np.cos(_phases(a, params["w"], layer.frequencies) + params["phase"])


def bins(layer: PiecewiseLinear, dtype: DTypeLike) -> tuple[Rows, Rows, Rows, Rows]:
    """Return (start, 1/width, lowest, highest) of each bin, (1, G, T) each; 1/width 0 for none."""
    shape = (1, len(layer.edges), layer.n_bins)
    start, rate, low, high = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.ones(shape)
    for g, edges in enumerate(layer.edges):
        n = len(edges) - 1
        start[0, g, :n], rate[0, g, :n] = edges[:-1], 1 / np.diff(edges)
        low[0, g, 0], high[0, g, n - 1] = -np.inf, np.inf
    return start.astype(dtype), rate.astype(dtype), low.astype(dtype), high.astype(dtype)


def _piecewise_linear(layer: PiecewiseLinear, params: Params, state: State, a: Rows) -> Rows:
    start, rate, low, high = bins(layer, a.dtype)
    return np.clip((a[:, :, None] - start) * rate, low, high).reshape(len(a), -1)


def _parametric(layer: ParametricActivation, params: Params, state: State, a: Rows) -> Rows:
    return a + params["alpha"] * (_activation(layer.name)(a) - a)


def _sequential(layer: Sequential, params: Params, state: State, a: Rows) -> Rows:
    for child, own, kept in zip(layer.layers, params, state, strict=True):
        a = forward(child, own, kept, a)
    return a


def _residual(layer: Residual, params: Params, state: State, a: Rows) -> Rows:
    found = [
        forward(child, own, kept, a)
        for child, own, kept in zip(layer.children, params, state, strict=True)
    ]
    return found[0] + (found[1] if len(found) > 1 else a)


def _beside(layer: Beside, params: Params, state: State, a: Rows) -> Rows:
    first = forward(layer.body, params[0], state[0], a[:, : layer.n_first])
    return np.concatenate([first, a[:, layer.passed_from :]], axis=1)


def _ensemble(layer: Ensemble, params: Params, state: State, a: Rows) -> Rows:
    found = [
        forward(child, own, kept, a)
        for child, own, kept in zip(layer.members, params, state, strict=True)
    ]
    return _mean_output(layer.link, np.stack(found))


def _mean_of_members(layer: MeanOfMembers, params: Params, state: State, a: Rows) -> Rows:
    each = a.reshape(len(a), layer.members, -1)
    return _mean_output(layer.link, np.moveaxis(each, 1, 0))


def _mean_output(link: str, s: Rows) -> Rows:
    """Return the output that predicts the mean of the members' s (K, N, C), by logarithms."""
    if link == "identity":
        return s.mean(axis=0)
    if link == "exp":
        return _log_mean_exp(s)
    if link == "softmax":
        return _log_mean_exp(special.log_softmax(s, axis=2))
    return _log_mean_exp(special.log_expit(s)) - _log_mean_exp(special.log_expit(-s))


def _log_mean_exp(s: Rows) -> Rows:
    return special.logsumexp(s, axis=0) - math.log(len(s))


_LAYERS: dict[type[Layer], Callable[[Any, Any, Any, Rows], Rows]] = {
    Activation: lambda layer, params, state, a: _activation(layer.name)(a),
    BatchNorm: _batch_norm,
    Beside: _beside,
    BlockDense: _block_dense,
    Categories: _categories,
    Cosines: _cosines,
    Dense: _dense,
    Dropout: lambda layer, params, state, a: a,
    Ensemble: _ensemble,
    FeatureScale: lambda layer, params, state, a: a * params["s"],
    LayerNorm: _layer_norm,
    MeanOfMembers: _mean_of_members,
    Members: lambda layer, params, state, a: np.tile(a, (1, layer.members)),
    NTKScale: lambda layer, params, state, a: a / math.sqrt(a.shape[1]),
    ParametricActivation: _parametric,
    Periodic: _periodic,
    PiecewiseLinear: _piecewise_linear,
    RMSNorm: _rms_norm,
    Residual: _residual,
    Sequential: _sequential,
    SharedDense: _shared_dense,
}
