"""Export of a model to ONNX, with the encoding of its columns and the decoding of its output.

Inputs, each with N rows: of a table one per column, (N, 1): double for numbers (NaN is missing),
booleans (0, 1, NaN) and dates (days since 1970-01-01 UTC), string for categories (the text as in
the table; "" is missing, and so are the words of `na_values` in lower case, upper case and
capitalized); of arrays "x" (N, I), uint8 for pixels and float otherwise. An input has the name of
its column; the empty name is "unnamed", and null characters and lone surrogates are escaped.

Outputs: of a classification "label" (N,) string, the text of `Model.classes` whatever their type in
Python, and "probabilities" (N, C); of several labels per row "label" (N, C) int64 and
"probabilities"; of a regression "prediction" (N, C) double, in the target's units. An underscore is
appended to an output with the name of a column: "label_".

The network computes in float32. Scaled numbers are clipped to ±SCALED_LIMIT, unscaled ones to
±UNSCALED_LIMIT, so that no finite input gives NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from mlp_jax.data.encoding import (
    SCALED_LIMIT,
    SMOOTH_CLIP,
    ArrayEncoding,
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    missing_numbers,
)
from mlp_jax.errors import InputError
from mlp_jax.model.onnx_graph import IR_VERSION, OPSETS, Graph, add_layer, concatenated
from mlp_jax.model.rows import UNSCALED_LIMIT
from mlp_jax.model.saved import Model
from mlp_jax.model.specimens import agree, feeds, input_names, specimens

_PROBE_ROWS = 256


def onnx_bytes(model: Model) -> bytes:
    """Serialize the model, and check that onnxruntime's outputs agree with it to 1e-5.

    Raises InputError for a model that ONNX cannot express, or without onnx and onnxruntime.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise InputError(
            "Exporting to ONNX needs onnx and onnxruntime: pip install 'mlp-jax[onnx]'."
        ) from None
    proto = _proto(model)
    onnx.checker.check_model(proto)
    data = proto.SerializeToString()
    _verify(model, data)
    return data


def signature(data: bytes) -> str:
    """Return the inputs and outputs of a file, one per line: name, type, shape."""
    session = _session(data)
    values = [("in ", value) for value in session.get_inputs()]
    values += [("out", value) for value in session.get_outputs()]
    return "\n".join(
        f"{way} {value.name}: {value.type.removeprefix('tensor').strip('()')}"
        f" ({', '.join(map(str, value.shape))})"
        for way, value in values
    )


def _session(data: bytes) -> Any:
    """Return a silent CPU session of onnxruntime for the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _proto(model: Model) -> Any:
    from onnx import helper

    if isinstance(model.inputs, ArrayEncoding):
        graph = Graph(["x"])
        dtype = np.uint8 if model.inputs.pixels else np.float32
        inputs = [_value("x", dtype, model.inputs.n_features)]
        x = _array_features(graph, model.inputs)
    else:
        names = input_names(model.inputs)
        graph = Graph(names.values())
        kinds: dict[str, Any] = {column.name: np.float64 for column in model.inputs.numeric}
        kinds |= {column.name: np.str_ for column in model.inputs.categorical}
        inputs = [_value(names[name], kind, 1) for name, kind in kinds.items()]
        x = _table_features(graph, model.inputs, names)
    linear = add_layer(graph, model.network, model.params, model.layer_state, x)
    outputs = _add_outputs(graph, model, linear)
    made = helper.make_graph(graph.nodes, "mlp_jax", inputs, outputs, graph.constants)
    proto = helper.make_model(
        made,
        producer_name="mlp-jax",
        opset_imports=[helper.make_opsetid(*pair) for pair in OPSETS.items()],
        ir_version=IR_VERSION,
        doc_string=__doc__,
    )
    helper.set_model_props(proto, {"network": str(model.network), "loss": str(model.loss)})
    return proto


def _value(name: str, dtype: DTypeLike, width: int | None) -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.STRING
    if dtype is not np.str_:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, ["N"] if width is None else ["N", width])


def _array_features(graph: Graph, inputs: ArrayEncoding) -> str:
    """Return x·scale + offset, computed in double, as float."""
    if inputs.pixels and not inputs.scale:
        return graph.cast("x", np.float32)
    if not inputs.scale:
        return graph.clip("x", UNSCALED_LIMIT)
    wide = graph.cast("x", np.float64)
    if not inputs.pixels:  # infinity times a scale of 0 would be NaN
        wide = graph.clip(wide, float(np.finfo(np.float32).max), np.float64)
    scaled = graph.add("Mul", wide, graph.constant(inputs.scale, np.float64))
    shifted = graph.add("Add", scaled, graph.constant(inputs.offset, np.float64))
    return graph.cast(graph.clip(shifted, SCALED_LIMIT, np.float64), np.float32)


def _table_features(graph: Graph, inputs: TableEncoding, names: Mapping[str, str]) -> str:
    """Return the features of `TableEncoding`, column by column. names: input of each column."""
    features: list[str] = []
    for column in inputs.numeric:
        features += _numeric(graph, column, names[column.name], inputs.na_values)
    features += [
        _category(graph, column, names[column.name], inputs.na_values)
        for column in inputs.categorical
    ]
    return concatenated(graph, features)


def _numeric(graph: Graph, column: NumericColumn, x: str, na_values: Sequence[str]) -> list[str]:
    """Return the feature of a number, and its indicator if it has one, (N, 1) float each."""
    v = _date_part(graph, column, x)
    absent = graph.add("Or", graph.add("IsNaN", v), graph.add("IsInf", v))
    if not column.boolean and not column.part:
        for number in missing_numbers(na_values):
            gone = graph.add("Equal", x, graph.constant(number, np.float64))
            absent = graph.add("Or", absent, gone)
    v = graph.add("Where", absent, graph.constant(column.fill, np.float64), v)
    features = [graph.cast(_scaled(graph, column, v), np.float32)]
    return [*features, graph.cast(absent, np.float32)] if column.indicator else features


def _date_part(graph: Graph, column: NumericColumn, x: str) -> str:
    if column.part in ("", "days"):
        return x
    from mlp_jax.data.tables.encode import YEAR_DAYS

    period, _, wave = column.part.partition("_")
    days = {"year": YEAR_DAYS, "week": 7.0, "day": 1.0}[period]
    turn = graph.constant(2 * np.pi / days, np.float64)
    return graph.add({"sin": "Sin", "cos": "Cos"}[wave], graph.add("Mul", x, turn))


def _scaled(graph: Graph, column: NumericColumn, v: str) -> str:
    if column.scaling == "none":
        return v
    if column.scaling == "quantile":
        return _interpolated(graph, column, v)
    centred = graph.add("Sub", v, graph.constant(column.center, np.float64))
    s = graph.add("Mul", centred, graph.constant(column.scale, np.float64))
    s = graph.clip(s, SCALED_LIMIT, np.float64)
    if column.scaling == "standard":
        return s
    part = graph.add("Mul", s, graph.constant(1 / SMOOTH_CLIP, np.float64))
    size = graph.add("Add", graph.add("Mul", part, part), graph.constant(1.0, np.float64))
    return graph.add("Div", s, graph.add("Sqrt", size))


def _interpolated(graph: Graph, column: NumericColumn, v: str) -> str:
    """Interpolate linearly between the knots around v, constant beyond the first and the last."""
    knots, scores = np.array(column.knots), np.array(column.scores)
    if len(knots) == 1:
        return graph.add("Add", graph.add("Mul", v, graph.constant(0.0, np.float64)),
                         graph.constant(scores[0], np.float64))  # fmt: skip
    slopes = np.diff(scores) / np.diff(knots)
    low, high = (graph.constant(end, np.float64) for end in (knots[0], knots[-1]))
    v = graph.add("Min", graph.add("Max", v, low), high)
    passed = graph.add("GreaterOrEqual", v, graph.constant(knots[None, 1:-1], np.float64))
    axes = graph.constant([1], np.int64)
    place = graph.add("ReduceSum", graph.cast(passed, np.int64), axes, keepdims=1)
    start, level, slope = (
        graph.add("Gather", graph.constant(values, np.float64), place)
        for values in (knots[:-1], scores[:-1], slopes)
    )
    return graph.add("Add", graph.add("Mul", slope, graph.add("Sub", v, start)), level)


def _category(graph: Graph, column: CategoricalColumn, x: str, na_values: Sequence[str]) -> str:
    spelled = [form for word in na_values for form in (word, word.upper(), word.capitalize())]
    absent = [word for word in dict.fromkeys(["", "NaN", "NaT", *spelled])
              if word not in column.categories and word.lower() in ("", *na_values)]  # fmt: skip
    keys = [*absent, *column.categories]
    codes = [*[column.missing] * len(absent), *range(1, len(column.categories) + 1)]
    found = graph.add(
        "LabelEncoder",
        x,
        domain="ai.onnx.ml",
        keys_strings=keys,
        values_int64s=codes,
        default_int64=column.rare,
    )
    return graph.cast(found, np.float32)


def _add_outputs(graph: Graph, model: Model, linear: str) -> list[Any]:
    """Add the graph's outputs, from the network's linear output (N, C)."""
    target, width = model.target, model.n_outputs
    if target.task == "regression":
        rate = model.loss.function.predict == "exp"
        wide = graph.cast(graph.add("Exp", linear) if rate else linear, np.float64)
        scale = graph.constant(target.scale or 1.0, np.float64)
        offset = graph.constant(target.offset or 0.0, np.float64)
        y = graph.add("Add", graph.add("Mul", wide, scale), offset, out="prediction")
        return [_value(y, np.float64, width)]
    if target.task == "multilabel":
        p = graph.add("Sigmoid", linear, out="probabilities")
        yes = graph.cast(_above_half(graph, p), np.int64, out="label")
        return [_value(yes, np.int64, width), _value(p, np.float32, width)]
    if width == 1:
        one = graph.add("Sigmoid", linear)
        rest = graph.add("Sub", graph.constant(1.0), one)
        p = graph.add("Concat", rest, one, axis=1, out="probabilities")
        flat = graph.add("Reshape", one, graph.constant([-1], np.int64))
        place = graph.cast(_above_half(graph, flat), np.int64)
    else:
        p = graph.add("Softmax", linear, axis=1, out="probabilities")
        place = graph.add("ArgMax", p, axis=1, keepdims=0)
    label = graph.add("Gather", graph.constant(target.classes, str), place, out="label")
    return [_value(label, np.str_, None), _value(p, np.float32, len(target.classes))]


def _above_half(graph: Graph, p: str) -> str:
    return graph.add("Greater", p, graph.constant(0.5))


def _verify(model: Model, data: bytes) -> None:
    """Raise InputError unless the file agrees with the model in float32 on sample rows."""
    rows = specimens(model.inputs, _PROBE_ROWS)
    feed = feeds(model.inputs, rows)
    expected = _expected_outputs(model, rows)
    try:
        found = dict(zip(expected, _session(data).run(None, feed), strict=True))
    except Exception as failure:  # onnxruntime's exception types are not public
        reason = " ".join(str(failure).split())
        raise InputError(f"onnxruntime cannot run this model: {reason}") from None
    for name, values in expected.items():
        if name == "label":
            agrees = np.array_equal(_labels(model, _decisive(model, found)), found["label"])
        else:
            agrees = agree(model, found[name], values)
        if not agrees:
            raise InputError(
                f"The output '{name}' of the ONNX file does not agree with the model; no file was"
                " written."
            )


def _labels(model: Model, predictions: np.ndarray) -> np.ndarray:
    """Return the labels of predictions as in the file: text for a classification."""
    one = model.target.task == "classification"
    return model.decided_text(predictions) if one else model.decided(predictions)


def _decisive(model: Model, found: dict[str, np.ndarray]) -> np.ndarray:
    """Return the file's probabilities in the form of `Model.predictions`."""
    p = found["probabilities"]
    return p[:, 1:] if model.n_outputs == 1 and p.shape[1] == 2 else p


def _expected_outputs(model: Model, rows: Any) -> dict[str, np.ndarray]:
    """Return the outputs, in order, as the model computes them in float32."""
    from mlp_jax.model.rows import features

    plain = replace(model, precision="float32")
    predictions = plain.predictions(features(model.inputs, rows))
    if model.target.task == "regression":
        return {"prediction": predictions}
    return {
        "label": _labels(plain, predictions),
        "probabilities": plain.probabilities(predictions),
    }
