"""What an exported file computes is what the model predicts, and onnxruntime and JAX say so."""

from dataclasses import replace

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from model_cases import (
    binary_model,
    colour_model,
    model_of,
    multilabel_model,
    pixel_model,
    regression_model,
)

from mlp_jax.backprop import Layer, get_loss, mlp
from mlp_jax.backprop.activations import ACTIVATIONS
from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.errors import InputError, RunFolderError, UnknownNameError
from mlp_jax.model import onnx_graph
from mlp_jax.model.export import export_model, stablehlo_bytes

RNG = np.random.default_rng(8)


def run_onnx(path, **feed):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def activation_model(name):
    return model_of(
        mlp([9, 9], 2, name),
        get_loss("squared_error"),
        ArrayEncoding(3),
        TargetEncoding("regression"),
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_the_same_in_onnx_far_from_zero_too(name, tmp_path):
    model = activation_model(name)
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = (RNG.standard_normal((200, 3)) * 30).astype(np.float32)
    found = run_onnx(tmp_path / "m.onnx", x=x)["prediction"]
    expected = model.predict(x)
    np.testing.assert_array_less(np.abs(found - expected) / np.abs(expected).max(axis=0), 1e-6)


@pytest.mark.parametrize("norm", ["layer", "rms", "batch"])
def test_norms_residuals_and_dropout_are_those_of_inference(norm, tmp_path):
    model = colour_model((6, 6, 6), "relu", norm=norm, residual=True, dropout=0.3)
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = RNG.standard_normal((50, 4)).astype(np.float32)
    found = run_onnx(tmp_path / "m.onnx", x=x)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), atol=1e-5)
    assert found["label"].tolist() == model.predict(x).tolist()


@pytest.mark.parametrize("n", [1, 37])
@pytest.mark.parametrize("make", [binary_model, multilabel_model])
def test_labels_and_probabilities_have_the_shapes_of_predict(make, n, tmp_path):
    model = make()
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = RNG.standard_normal((n, 3)).astype(np.float32)
    found = run_onnx(tmp_path / "m.onnx", x=x)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), atol=1e-5)
    assert found["label"].tolist() == model.predict(x).tolist()


def test_pixels_go_into_onnx_as_bytes(tmp_path):
    model = pixel_model()
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = RNG.integers(0, 256, (20, 12), np.uint8)
    found = run_onnx(tmp_path / "m.onnx", x=x)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda: regression_model(2), lambda: regression_model(1, "poisson", scaled=False)]
)
def test_a_regression_predicts_in_its_own_units(make, tmp_path):
    model = make()
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = RNG.standard_normal((20, 3)).astype(np.float32)
    found = run_onnx(tmp_path / "m.onnx", x=x)["prediction"]
    np.testing.assert_allclose(found, model.predict(x).reshape(20, -1), rtol=1e-6, atol=3e-6)


def test_the_file_says_its_opset_and_is_valid(tmp_path):
    export_model(colour_model(), "onnx", tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert {o.domain: o.version for o in proto.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert "probabilities" in proto.doc_string


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_onnx_computes_in_float32_whatever_the_run_multiplied_in(precision, tmp_path):
    plain = colour_model()
    model = type(plain)(**{**vars(plain), "precision": precision})
    export_model(model, "onnx", tmp_path / "m.onnx")
    x = RNG.standard_normal((50, 4)).astype(np.float32)
    found = run_onnx(tmp_path / "m.onnx", x=x)["probabilities"]
    np.testing.assert_allclose(found, plain.predict_proba(x), atol=1e-5)


def test_a_file_that_disagrees_never_gets_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(onnx_graph.ACTIVATIONS, "tanh", lambda g, z: g.add("Sigmoid", z))
    with pytest.raises(InputError, match="'probabilities' of the ONNX file does not agree"):
        export_model(colour_model(), "onnx", tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_has_no_nodes_for_is_named(tmp_path):
    class Strange(Layer):
        def __str__(self):
            return "Strange()"

    model = colour_model()
    strange = type(model)(**{**vars(model), "network": Strange()})
    with pytest.raises(InputError, match=r"The layer Strange\(\) cannot be exported to ONNX"):
        export_model(strange, "onnx", tmp_path / "m.onnx")


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'mlp-jax\[onnx\]'"):
        export_model(colour_model(), "onnx", tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "make",
    [colour_model, binary_model, multilabel_model, pixel_model, lambda: regression_model(2)],
)
def test_stablehlo_takes_any_number_of_rows_and_needs_only_jax(make, tmp_path):
    model = make()
    export_model(model, "stablehlo", tmp_path / "m.bin")
    function = jax.export.deserialize(bytearray((tmp_path / "m.bin").read_bytes()))
    assert function.platforms == ("cpu", "cuda")
    for n in (1, 5, 300):
        x = RNG.integers(0, 256, (n, 12), np.uint8) if model.inputs.pixels else None
        x = RNG.standard_normal((n, model.inputs.n_features), np.float32) if x is None else x
        expected = model.predictions(model.features(x))
        np.testing.assert_allclose(function.call(x), expected, rtol=1e-5, atol=1e-6)


def test_an_existing_file_and_an_unknown_format_are_refused(tmp_path):
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already; --overwrite replaces it"):
        export_model(colour_model(), "onnx", tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "mine"
    export_model(colour_model(), "onnx", tmp_path / "m.onnx", overwrite=True)
    with pytest.raises(UnknownNameError, match="Known: onnx, stablehlo"):
        export_model(colour_model(), "tflite", tmp_path / "m.tflite")
    with pytest.raises(RunFolderError, match="there is no folder"):
        export_model(colour_model(), "onnx", tmp_path / "no/m.onnx")


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_numbers_of_any_size_are_clipped_in_stablehlo_as_in_the_model(scaled, norm):
    model = colour_model((6, 5), "gelu", norm=norm)
    if not scaled:
        model = replace(model, inputs=ArrayEncoding(4))
    values = np.array([1e300, -1e300, 1e40, -1e40, 3e38, 1e30, 1e16, -1e16, 0.5])
    x = np.stack([np.roll(values, k) for k in range(4)], axis=1)
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32)  # 1e300 comes as infinity
    function = jax.export.deserialize(bytearray(stablehlo_bytes(model)))
    found = np.asarray(function.call(narrow))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, model.predict_proba(x), atol=1e-4)
