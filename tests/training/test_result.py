"""What `fit` returns is a model: it predicts labels as they came in, saves, exports and pickles."""

import pickle

import numpy as np
import pytest
from training_cases import labelled

import mlp_jax
from mlp_jax.backprop import mlp
from mlp_jax.data import fit_scaling
from mlp_jax.training import fit

LOSS = "softmax_cross_entropy"
pytestmark = pytest.mark.usefixtures("optax_promotes")


@pytest.fixture(scope="module")
def rows():
    x, y = labelled(90)
    return x * np.float32(20) + 7, y


@pytest.fixture(scope="module")
def trained(rows):
    x, y = rows
    return fit(mlp([8], 3), LOSS, "sgd", (x, y), epochs=20, batch_size=8, scaling=fit_scaling(x))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_labels_come_back_in_the_type_that_they_had(rows, dtype):
    x, y = rows
    y = (y > 0).astype(dtype)
    result = fit(mlp([8], 2), LOSS, "adam", (x, y), epochs=2, batch_size=8, scaling=fit_scaling(x))
    found = result.predict(x)
    assert found.dtype == dtype
    assert np.mean(found == y) == pytest.approx(result.evaluate((x, y), ["accuracy"])["accuracy"])


def test_what_is_saved_is_loaded_and_predicts_the_same(rows, trained, tmp_path):
    trained.save(tmp_path / "model")
    loaded = mlp_jax.load(tmp_path / "model")
    assert isinstance(trained, type(loaded))
    np.testing.assert_array_equal(loaded.predict(rows[0]), trained.predict(rows[0]))
    np.testing.assert_allclose(
        loaded.predict_proba(rows[0]), trained.predict_proba(rows[0]), rtol=1e-6
    )
    mlp_jax.save(trained, tmp_path / "again")
    assert mlp_jax.load(tmp_path / "again").classes == trained.classes


def test_it_exports(rows, trained, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    trained.export(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    given = {session.get_inputs()[0].name: rows[0]}
    found = session.run(["probabilities"], given)[0]
    np.testing.assert_allclose(found, trained.predict_proba(rows[0]), atol=1e-5)


def test_it_pickles_with_its_history_and_report(rows, trained):
    again = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(again.predict(rows[0]), trained.predict(rows[0]))
    assert again.history == trained.history
    assert again.report.ok


def test_an_evaluation_gives_figures_by_name_and_the_predictions(rows, trained):
    found = trained.evaluate(rows, ["accuracy"])
    assert set(found) == {"loss", "accuracy"}
    np.testing.assert_array_equal(found.predictions, trained.predict_proba(rows[0]))
    assert found[0] == dict(found)  # as earlier versions returned figures and predictions
    assert found[1] is found.predictions
    with pytest.raises(KeyError):
        found["f1"]


def test_its_repr_is_one_short_line(trained):
    assert repr(trained) == (
        "TrainResult(4 inputs, 3 outputs, classification of 3 classes, softmax_cross_entropy,"
        " float32)"
    )


def test_targets_that_are_probabilities_are_evaluated(rows):
    x, y = rows
    p = np.full((90, 3), 0.1)
    p[np.arange(90), y] = 0.8
    result = fit(mlp([8], 3), LOSS, "adam", (x, p), epochs=2, batch_size=8, scaling=fit_scaling(x))
    predicted = result.predict_proba(x).astype(np.float64)
    expected = -(p * np.log(predicted)).sum(axis=1).mean()
    assert result.evaluate((x, p))["loss"] == pytest.approx(expected, rel=1e-5)
    assert result.predict(x).dtype == np.int64
