import jax
import numpy as np
import pytest

from mlp_jax.backprop import apply, get_loss, mlp
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model
from mlp_jax.reports.folder import read_run
from mlp_jax.reports.gather import gather
from mlp_jax.training.run.config import read_config
from mlp_jax.training.run.data import prepared
from mlp_jax.training.run.folder import read_metadata, write_metadata
from mlp_jax.training.run.metadata import digest

RNG = np.random.default_rng(0)


def saved_run(make_run, path, outputs, task_loss, norm=None):
    """A run on the rows in a file, with a model of random weights."""
    config = f'data = "{path}"\nhidden = [6, 5]\nactivation = "tanh"\ndropout = 0.5\nepochs = 3\n'
    folder = make_run(config=config)
    parts = prepared(read_config(folder / "config.toml"))
    facts = read_metadata(folder) | {"digest": digest(parts)}
    write_metadata(folder, facts)
    network = mlp([6, 5], outputs, "tanh", dropout=0.5, norm=norm)
    params, state = network.init(jax.random.key(1), parts.inputs.n_features)
    model = Model(network, get_loss(task_loss), params, state, parts.inputs, parts.target)
    save_model(folder / "model", model)
    return folder, model, parts


@pytest.fixture
def images(tmp_path):
    y = np.arange(120) % 3
    x = RNG.integers(0, 200, (120, 4, 4)).astype(np.uint8)
    x[np.arange(120), y, 0] = 255
    np.savez(tmp_path / "images.npz", x=x, y=y)
    return tmp_path / "images.npz"


def test_predictions_on_the_test_rows_are_the_models(make_run, images):
    folder, model, parts = saved_run(make_run, images, 3, "softmax_cross_entropy")
    found = gather(read_run(folder))
    judged = found.judged
    assert found.missing == ()
    assert (judged.part, judged.task, judged.names) == ("test rows", "classification", tuple("012"))
    assert judged.predictions.shape == (24, 3)
    accuracy = (judged.labels == judged.targets).mean()
    assert accuracy == pytest.approx(model.evaluate(parts.test, ["accuracy"])["accuracy"])
    assert judged.n_wrong == round(24 * (1 - accuracy))
    worst = judged.mistakes[0]
    assert worst.picture.shape == (4, 4)
    assert worst.picture.max() == 255
    raw = parts.test.x[worst.row].reshape(4, 4)
    assert np.array_equal(np.argsort(worst.picture.ravel()), np.argsort(raw.ravel()))
    assert found.first_layer.image_shape == (4, 4)
    assert found.versions["jax"]


@pytest.mark.parametrize("norm", [None, "batch"])
def test_the_flow_is_that_of_jax(make_run, images, norm):
    folder, model, parts = saved_run(make_run, images, 3, "softmax_cross_entropy", norm)
    found = gather(read_run(folder))
    n = found.flow_rows
    assert n == len(parts.train) == 84
    x = parts.train.x.astype(np.float32) * np.float32(parts.inputs.scale[0])
    y = jax.numpy.asarray(parts.train.y)
    x = jax.numpy.asarray(x + np.float32(parts.inputs.offset[0]))

    def mean_loss(params):
        output = apply(model.network, params, x, state=model.layer_state)
        return model.loss.value(output, y).mean()

    gradients = jax.tree_util.tree_leaves_with_path(jax.grad(mean_loss)(model.params))
    expected = [np.linalg.norm(leaf) for path, leaf in gradients if path[-1].key == "W"]
    assert [one.grad_W for one in found.flow] == pytest.approx(expected, rel=1e-4)
    last = apply(model.network, model.params, x, state=model.layer_state)
    seed = jax.nn.softmax(last) - jax.nn.one_hot(y, 3)
    size = np.sqrt(np.mean(np.sum(np.asarray(seed) ** 2, axis=1)))
    assert found.flow[-1].grad_z == pytest.approx(size, rel=1e-4)
    assert found.flow[0].layer.startswith("0 Dense(6")


def test_numbers_are_judged_in_their_own_units(make_run, tmp_path):
    x = RNG.standard_normal((100, 3))
    np.savez(tmp_path / "sum.npz", x=x, y=1000 + 50 * x.sum(axis=1))
    folder, model, parts = saved_run(make_run, tmp_path / "sum.npz", 1, "squared_error")
    judged = gather(read_run(folder)).judged
    assert judged.targets.shape == judged.predictions.shape == (20, 1)
    assert 500 < judged.predictions.mean() < 1500
    rmse = np.sqrt(np.mean((judged.predictions - judged.targets) ** 2))
    assert rmse == pytest.approx(model.evaluate(parts.test, ["rmse"])["rmse"], rel=1e-5)
    assert set(judged.mistakes[0].values) == {"feature 0", "feature 1", "feature 2"}


def test_without_a_model_there_is_a_sentence(make_run):
    found = gather(read_run(make_run()))
    assert found.judged is None
    assert found.first_layer is None
    (sentence,) = found.missing
    assert "no saved model" in sentence


def test_without_its_data_the_rest_is_shown(make_run, images):
    folder, *_ = saved_run(make_run, images, 3, "softmax_cross_entropy")
    moved = images.rename(images.with_name("moved.npz"))
    found = gather(read_run(folder))
    assert found.judged is None
    assert found.flow == ()
    assert found.first_layer is not None
    (sentence,) = found.missing
    assert "images.npz" in sentence
    assert "If the data were moved, use --data" in sentence
    assert gather(read_run(folder), str(moved)).judged is not None


def test_other_data_are_refused(make_run, images, tmp_path):
    folder, *_ = saved_run(make_run, images, 3, "softmax_cross_entropy")
    x = RNG.integers(0, 99, (60, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "other.npz", x=x, y=np.arange(60) % 3)
    found = gather(read_run(folder), str(tmp_path / "other.npz"))
    assert found.judged is None
    assert "is not the data of this run" in found.missing[0]
