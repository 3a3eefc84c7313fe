"""ONNX graphs: nodes, constants, and the layers of a network as nodes.

All values between the first layer and the last are float32, (N, width). Opset 17 of ONNX, 3 of
ai.onnx.ml. onnx is imported only when a graph is built.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jax.typing import DTypeLike

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
from mlp_jax.errors import InputError
from mlp_jax.model.numpy_network import bins

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8  # of opset 17, which runtimes since 2022 support


class Graph:
    """A builder of nodes and constants; each method returns the name of the value that it adds.

    Args:
        taken: names in use, those of the inputs.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._taken = set(taken)

    def free_name(self, wanted: str) -> str:
        """Return the name, with underscores appended until it is unique."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def add(self, op: str, *inputs: str, domain: str = "", out: str = "", **attributes: Any) -> str:
        """Add a node with one output, named `out` or by its index."""
        from onnx import helper

        out = self.free_name(out or f"/{op}_{len(self.nodes)}")
        self.nodes.append(
            helper.make_node(op, list(inputs), [out], name=out, domain=domain, **attributes)
        )
        return out

    def constant(self, values: Any, dtype: DTypeLike = np.float32) -> str:
        """Add a constant array; text if dtype is str."""
        from onnx import TensorProto, helper, numpy_helper

        name = self.free_name(f"/constant_{len(self.constants)}")
        if dtype is str:
            text = [value.encode() for value in values]
            tensor = helper.make_tensor(name, TensorProto.STRING, [len(text)], text)
        else:
            tensor = numpy_helper.from_array(np.asarray(values, dtype), name)
        self.constants.append(tensor)
        return name

    def clip(self, x: str, limit: float, dtype: DTypeLike = np.float32) -> str:
        """Clip values to ± a limit."""
        low, high = (self.constant(end, dtype) for end in (-limit, limit))
        return self.add("Clip", x, low, high)

    def cast(self, x: str, dtype: DTypeLike, out: str = "") -> str:
        """Cast values to a NumPy dtype."""
        from onnx import helper

        return self.add("Cast", x, out=out, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _gelu(graph: Graph, z: str) -> str:
    """½ z (1 + tanh(√(2/π)(z + 0.044715 z³)))."""
    cube = graph.add("Mul", graph.add("Mul", z, z), z)
    inner = graph.add("Add", z, graph.add("Mul", cube, graph.constant(0.044715)))
    t = graph.add("Tanh", graph.add("Mul", inner, graph.constant(math.sqrt(2 / math.pi))))
    return _half_times(graph, z, t)


def _gelu_exact(graph: Graph, z: str) -> str:
    """½ z (1 + erf(z/√2))."""
    return _half_times(
        graph, z, graph.add("Erf", graph.add("Mul", z, graph.constant(math.sqrt(0.5))))
    )


def _half_times(graph: Graph, z: str, gate: str) -> str:
    raised = graph.add("Add", gate, graph.constant(1.0))
    return graph.add("Mul", graph.add("Mul", z, graph.constant(0.5)), raised)


def _squared_relu(graph: Graph, z: str) -> str:
    positive = graph.add("Relu", z)
    return graph.add("Mul", positive, positive)


def _log_sigmoid(graph: Graph, z: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", z)))


def _one(op: str, **attributes: Any) -> Callable[[Graph, str], str]:
    return lambda graph, z: graph.add(op, z, **attributes)


def _clip(low: float, high: float) -> Callable[[Graph, str], str]:
    return lambda graph, z: graph.add("Clip", z, graph.constant(low), graph.constant(high))


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda graph, z: z,
    "relu": _one("Relu"),
    "leaky_relu": _one("LeakyRelu", alpha=LEAKY_SLOPE),
    "relu6": _clip(0, 6),
    "squared_relu": _squared_relu,
    "elu": _one("Elu", alpha=1.0),
    "selu": _one("Selu", alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "celu": _one("Celu", alpha=1.0),
    "gelu": _gelu,
    "gelu_exact": _gelu_exact,
    "silu": lambda graph, z: graph.add("Mul", z, graph.add("Sigmoid", z)),
    "mish": lambda graph, z: graph.add("Mul", z, graph.add("Tanh", graph.add("Softplus", z))),
    "tanh": _one("Tanh"),
    "hard_tanh": _clip(-1, 1),
    "sigmoid": _one("Sigmoid"),
    "hard_sigmoid": _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "softplus": _one("Softplus"),
    "softsign": _one("Softsign"),
    "log_sigmoid": _log_sigmoid,
}


def _activate(graph: Graph, name: str, z: str) -> str:
    if name not in ACTIVATIONS:
        raise InputError(f"The activation {name} cannot be exported to ONNX.")
    return ACTIVATIONS[name](graph, z)


def _dense(graph: Graph, layer: Dense, params: Params, state: State, a: str) -> str:
    bias = [graph.constant(params["b"])] if layer.bias else []
    z = graph.add("Gemm", a, graph.constant(params["W"]), *bias)
    return _activate(graph, layer.activation, z)


def _layer_norm(graph: Graph, layer: LayerNorm, params: Params, state: State, a: str) -> str:
    scale, shift = (graph.constant(params[name]) for name in ("scale", "shift"))
    return graph.add("LayerNormalization", a, scale, shift, axis=-1, epsilon=layer.epsilon)


def _rms_norm(graph: Graph, layer: RMSNorm, params: Params, state: State, a: str) -> str:
    square = graph.add("ReduceMean", graph.add("Mul", a, a), axes=[1], keepdims=1)
    size = graph.add("Sqrt", graph.add("Add", square, graph.constant(layer.epsilon)))
    return graph.add("Mul", graph.add("Div", a, size), graph.constant(params["scale"]))


def _batch_norm(graph: Graph, layer: BatchNorm, params: Params, state: State, a: str) -> str:
    variance = np.asarray(state["variance"], np.float64) + layer.epsilon
    scale = np.asarray(params["scale"], np.float64) / np.sqrt(variance)
    centred = graph.add("Sub", a, graph.constant(state["mean"]))
    scaled = graph.add("Mul", centred, graph.constant(scale))
    return graph.add("Add", scaled, graph.constant(params["shift"]))


def _categories(graph: Graph, layer: Categories, params: Params, state: State, a: str) -> str:
    """Gather each code's row of its table: zeros for code 0, then one-hot vectors or embeddings."""
    axis = graph.constant([1], np.int64)

    def columns(start: int, end: int) -> str:
        return graph.add("Slice", a, *(graph.constant([at], np.int64) for at in (start, end)), axis)

    blocks = [columns(0, layer.n_numeric)] if layer.n_numeric else []
    for j, (n_codes, width) in enumerate(zip(layer.codes, layer.widths, strict=True)):
        table = np.asarray(params[f"embedding_{j}"] if width else np.eye(n_codes), np.float32)
        rows = np.concatenate([np.zeros((1, table.shape[1]), np.float32), table])
        code = graph.cast(columns(layer.n_numeric + j, layer.n_numeric + j + 1), np.int64)
        code = graph.add("Reshape", code, graph.constant([-1], np.int64))
        blocks.append(graph.add("Gather", graph.constant(rows), code))
    return concatenated(graph, blocks)


def _groups(graph: Graph, a: str, n: int) -> str:
    """Reshape (N, n·I) to (N, n, I)."""
    return graph.add("Reshape", a, graph.constant([0, n, -1], np.int64))


def _flat(graph: Graph, a: str) -> str:
    """Reshape (N, n, J) to (N, n·J)."""
    return graph.add("Reshape", a, graph.constant([0, -1], np.int64))


def _block_dense(graph: Graph, layer: BlockDense, params: Params, state: State, a: str) -> str:
    """Multiply each block: (N, G, 1, I) times (G, I, J)."""
    axis = graph.constant([2], np.int64)
    rows = graph.add("Unsqueeze", _groups(graph, a, layer.n_blocks), axis)
    z = graph.add("Squeeze", graph.add("MatMul", rows, graph.constant(params["W"])), axis)
    z = graph.add("Add", _flat(graph, z), graph.constant(params["b"]))
    return _activate(graph, layer.activation, z)


def _shared_dense(graph: Graph, layer: SharedDense, params: Params, state: State, a: str) -> str:
    rows = _groups(graph, graph.add("Mul", a, graph.constant(params["r"])), layer.members)
    u = _flat(graph, graph.add("MatMul", rows, graph.constant(params["W"])))
    z = graph.add(
        "Add", graph.add("Mul", u, graph.constant(params["s"])), graph.constant(params["b"])
    )
    return _activate(graph, layer.activation, z)


def _phases(graph: Graph, a: str, rates: Any, n: int) -> str:
    """Return 2π c x of each feature (N, G, n)."""
    rates = 2 * math.pi * np.asarray(rates, np.float64).reshape(1, -1, n)
    x = graph.add("Unsqueeze", a, graph.constant([2], np.int64))
    return graph.add("Mul", x, graph.constant(rates))


def _periodic(graph: Graph, layer: Periodic, params: Params, state: State, a: str) -> str:
    phase = _phases(graph, a, params["c"], layer.frequencies)
    waves = graph.add("Concat", graph.add("Cos", phase), graph.add("Sin", phase), axis=2)
    return _flat(graph, waves)


def _cosines(graph: Graph, layer: Cosines, params: Params, state: State, a: str) -> str:
    phase = _flat(graph, _phases(graph, a, params["w"], layer.frequencies))
    return graph.add("Cos", graph.add("Add", phase, graph.constant(params["phase"])))


def _piecewise_linear(
    graph: Graph, layer: PiecewiseLinear, params: Params, state: State, a: str
) -> str:
    start, rate, low, high = bins(layer, np.float32)
    x = graph.add("Unsqueeze", a, graph.constant([2], np.int64))
    progress = graph.add("Mul", graph.add("Sub", x, graph.constant(start)), graph.constant(rate))
    raised = graph.add("Max", progress, graph.constant(low))
    return _flat(graph, graph.add("Min", raised, graph.constant(high)))


def _parametric(
    graph: Graph, layer: ParametricActivation, params: Params, state: State, a: str
) -> str:
    away = graph.add("Sub", _activate(graph, layer.name, a), a)
    return graph.add("Add", a, graph.add("Mul", away, graph.constant(params["alpha"])))


def _ntk(graph: Graph, layer: NTKScale, params: Params, state: State, a: str) -> str:
    width = graph.add("Slice", graph.add("Shape", a), *_ends(graph, 1, 2))
    return graph.add("Div", a, graph.add("Sqrt", graph.cast(width, np.float32)))


def _ends(graph: Graph, start: int, end: int) -> tuple[str, str]:
    return graph.constant([start], np.int64), graph.constant([end], np.int64)


def _beside(graph: Graph, layer: Beside, params: Params, state: State, a: str) -> str:
    axis = graph.constant([1], np.int64)
    first = graph.add("Slice", a, *_ends(graph, 0, layer.n_first), axis)
    rest = graph.add("Slice", a, *_ends(graph, layer.passed_from, 2**31), axis)
    return concatenated(graph, [add_layer(graph, layer.body, params[0], state[0], first), rest])


def _mean_of_members(
    graph: Graph, layer: MeanOfMembers, params: Params, state: State, a: str
) -> str:
    return _mean_output(graph, layer.link, _groups(graph, a, layer.members), layer.members)


def _sequential(graph: Graph, layer: Sequential, params: Params, state: State, a: str) -> str:
    for child, own, kept in zip(layer.layers, params, state, strict=True):
        a = add_layer(graph, child, own, kept, a)
    return a


def _residual(graph: Graph, layer: Residual, params: Params, state: State, a: str) -> str:
    outputs = [
        add_layer(graph, child, own, kept, a)
        for child, own, kept in zip(layer.children, params, state, strict=True)
    ]
    return graph.add("Add", outputs[0], outputs[1] if len(outputs) > 1 else a)


def _ensemble(graph: Graph, layer: Ensemble, params: Params, state: State, a: str) -> str:
    """Return the output that predicts the mean, by logarithms: log (1/K) Σ e^t = LSE(t) − log K."""
    axis = graph.constant([1], np.int64)
    stacked = [
        graph.add("Unsqueeze", add_layer(graph, child, own, kept, a), axis)
        for child, own, kept in zip(layer.members, params, state, strict=True)
    ]
    return _mean_output(graph, layer.link, graph.add("Concat", *stacked, axis=1), len(stacked))


def _mean_output(graph: Graph, link: str, s: str, members: int) -> str:
    """Return the output that predicts the mean of the members' s (N, K, C), by logarithms."""
    if link == "identity":
        return graph.add("ReduceMean", s, axes=[1], keepdims=0)

    def log_mean_exp(t: str) -> str:
        total = graph.add("ReduceLogSumExp", t, axes=[1], keepdims=0)
        return graph.add("Sub", total, graph.constant(math.log(members)))

    if link == "exp":
        return log_mean_exp(s)
    if link == "softmax":
        return log_mean_exp(graph.add("LogSoftmax", s, axis=2))
    on, off = _log_sigmoid(graph, s), _log_sigmoid(graph, graph.add("Neg", s))
    return graph.add("Sub", log_mean_exp(on), log_mean_exp(off))


_LAYERS: dict[type[Layer], Callable[[Graph, Any, Any, Any, str], str]] = {
    Activation: lambda graph, layer, params, state, a: _activate(graph, layer.name, a),
    BatchNorm: _batch_norm,
    Beside: _beside,
    BlockDense: _block_dense,
    Categories: _categories,
    Cosines: _cosines,
    FeatureScale: lambda graph, layer, params, state, a: graph.add(
        "Mul", a, graph.constant(params["s"])
    ),
    MeanOfMembers: _mean_of_members,
    Members: lambda graph, layer, params, state, a: graph.add(
        "Tile", a, graph.constant([1, layer.members], np.int64)
    ),
    NTKScale: _ntk,
    ParametricActivation: _parametric,
    Periodic: _periodic,
    PiecewiseLinear: _piecewise_linear,
    SharedDense: _shared_dense,
    Dense: _dense,
    Dropout: lambda graph, layer, params, state, a: a,
    Ensemble: _ensemble,
    LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    Residual: _residual,
    Sequential: _sequential,
}


def add_layer(graph: Graph, layer: Layer, params: Params, state: State, a: str) -> str:
    """Add the nodes of a layer in inference; InputError for a layer without an ONNX form."""
    if type(layer) not in _LAYERS:
        raise InputError(f"The layer {layer} cannot be exported to ONNX.")
    return _LAYERS[type(layer)](graph, layer, params, state, a)


def concatenated(graph: Graph, columns: Sequence[str]) -> str:
    """Concatenate columns (N, ·)."""
    return columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
