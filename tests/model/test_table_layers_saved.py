"""The layers of tables on disk and out of the door: read back as they were, and in ONNX."""

import numpy as np
import onnxruntime
import pytest
from model_cases import model_of

from mlp_jax.backprop import get_loss
from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.model.export import export_model
from mlp_jax.model.model_folder import load_model, save_model
from mlp_jax.proof.trial import TABLES, table_network

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32) * 2


@pytest.fixture(params=TABLES)
def model(request):
    network = table_network(request.param, 4, (6, 5), 3, "mish", 0.1, "softmax")
    return model_of(
        network,
        get_loss("softmax_cross_entropy"),
        ArrayEncoding(4),
        TargetEncoding("classification", classes=("a", "b", "c")),
    )


def test_a_model_of_these_layers_is_read_back_as_it_was(model, tmp_path):
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.network == model.network
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_onnx_predicts_what_the_model_predicts(model, tmp_path):
    export_model(model, "onnx", tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"x": X}), strict=True))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    assert found["label"].tolist() == model.predict(X).tolist()
