"""ONNX files of tables whose columns have any name, and of numbers of any size."""

import numpy as np
import polars as pl
import pytest
from model_cases import colour_model, model_of, regression_model

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data.encoding import (
    SCALED_LIMIT,
    ArrayEncoding,
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
)
from mlp_jax.model.onnx_file import onnx_bytes

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

TARGETS = {
    "classes": TargetEncoding("classification", classes=("a", "b", "c")),
    "two": TargetEncoding("classification", classes=("a", "b")),
    "labels": TargetEncoding("multilabel", names=("p", "q")),
    "numbers": TargetEncoding("regression"),
}
WIDTHS = {"classes": (3, "softmax_cross_entropy"), "two": (1, "sigmoid_cross_entropy"),
          "labels": (2, "sigmoid_cross_entropy"), "numbers": (2, "squared_error")}  # fmt: skip


def table_model(names, kind="classes", scaling="standard"):
    """Numbers but for the last column, which is of words."""
    *numbers, words = names
    inputs = TableEncoding(
        tuple(
            NumericColumn(name, scaling=scaling, center=0.5, scale=2.0, indicator=True)
            for name in numbers
        ),
        (CategoricalColumn(words, ("u", "v"), 3, 0, 3),),
    )
    width, loss = WIDTHS[kind]
    return model_of(mlp([5], width), get_loss(loss), inputs, TARGETS[kind])


def session_of(model):
    data = onnx_bytes(model)
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


NAMES = {
    "outputs": ("label", "probabilities", "prediction"),
    "outputs renamed": ("label", "label_", "probabilities", "probabilities_", "prediction"),
    "words": ("fine", "label"),
    "nodes": ("/constant_0", "/Or_2", "/Gemm_7", "/Cast_3", "/constant_1", "/Concat_20"),
    "empty": ("", "unnamed", "unnamed_"),
    "empty words": ("unnamed", ""),
    "long": ("x" * 5000, "y" * 5000),
    "unicode": ("größe", "身長", "🙂", "a b/c:d", "\t\n"),
    "alike": ("A", "a", "a ", "a.b", "a_b", "a-b"),
    "null": ("a\0b", "a\\0b", "N"),
    "x": ("x", "N", "mlp_jax"),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", NAMES)
def test_columns_of_any_name_are_exported(case, kind):
    names = NAMES[case]
    model = table_model(names, kind)
    session = session_of(model)
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    assert len({*inputs, *outputs}) == len(inputs) + len(outputs)
    assert {name for name in names if name and "\0" not in name} <= set(inputs)
    numbers = np.random.default_rng(0).normal(size=(7, len(names) - 1))
    words = np.array(["u", "v", "", "unseen", "u", "v", "u"], object)
    feed = dict(zip(inputs, [*numbers.T[:, :, None], words[:, None]], strict=True))
    found = session.run(None, feed)[-1]
    columns = [*numbers.T, pl.Series(words, dtype=pl.String)]
    frame = pl.DataFrame(dict(zip(names, columns, strict=True)))
    expected = model.predict(frame) if kind == "numbers" else model.predict_proba(frame)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_output_that_is_called_as_a_column_ends_in_an_underscore():
    names = [v.name for v in session_of(table_model(("label", "probabilities"))).get_outputs()]
    assert names == ["label_", "probabilities_"]
    names = [v.name for v in session_of(table_model(("prediction", "w"), "numbers")).get_outputs()]
    assert names == ["prediction_"]


HUGE = np.array([1e300, -1e300, 1e40, -1e40, 1e30, 1e16, -1e16, 1.7e308, 5e-324, np.nan, np.inf])


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_numbers_of_any_size_give_finite_outputs(scaling, kind):
    session = session_of(table_model(("a", "b", "w"), kind, scaling))
    feed = {
        "a": HUGE[:, None], "b": HUGE[::-1, None].copy(), "w": np.full((len(HUGE), 1), "u", object),
    }  # fmt: skip
    far = session.run(None, feed)[-1]
    assert np.isfinite(far).all()
    # Beyond the limit nothing changes, and robust scaling does not come back to 0.
    limit = 0.5 + SCALED_LIMIT / 2
    feed["a"], feed["b"] = np.clip(feed["a"], -limit, limit), np.clip(feed["b"], -limit, limit)
    feed["a"][~np.isfinite(HUGE)] = np.nan
    feed["b"][~np.isfinite(HUGE[::-1])] = np.nan
    np.testing.assert_allclose(far, session.run(None, feed)[-1], rtol=1e-5)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("norm", [None, "layer", "batch", "rms"])
def test_arrays_of_numbers_of_any_size_give_finite_outputs_here_and_there(scaled, norm):
    model = colour_model((6, 5), "gelu", norm=norm)
    if not scaled:
        model = type(model)(**{**vars(model), "inputs": ArrayEncoding(4)})
    finite = HUGE[np.isfinite(HUGE)]
    x = np.stack([np.roll(finite, k) for k in range(4)], axis=1)
    here = model.predict_proba(x)
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32)
    there = session_of(model).run(None, {"x": narrow})[-1]
    assert np.isfinite(here).all()
    np.testing.assert_allclose(there, here, atol=1e-4)


def test_huge_numbers_stay_what_they_are_in_double_precision():
    model = regression_model(1, scaled=False)
    wide = type(model)(**{**vars(model), "precision": "float64", "params": [
        {name: np.float64(leaf) for name, leaf in layer.items()} for layer in model.params
    ]})  # fmt: skip
    wide = type(model)(**{**vars(wide), "params": tuple(wide.params)})
    a, b = wide.predict(np.array([[1e20, 0, 0], [1e21, 0, 0]]))
    assert b == pytest.approx(10 * a, rel=1e-6)
