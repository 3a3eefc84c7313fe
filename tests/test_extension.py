"""A user's own activation, loss, metric and layer: checked, trained, saved and loaded by name."""

import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlp_jax
from mlp_jax.backprop import Dense, Layer, Sequential, mlp
from mlp_jax.backprop.activations import ACTIVATIONS
from mlp_jax.backprop.losses import LOSSES
from mlp_jax.errors import InputError, ProofError, UnknownNameError
from mlp_jax.model.metrics import METRICS
from mlp_jax.model.store import CLASSES

X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] ** 2).astype(np.float32)[:, None]
LABELS = (Y[:, 0] > 1).astype(np.int32)
CE = "softmax_cross_entropy"
pytestmark = pytest.mark.usefixtures("optax_promotes")


@pytest.fixture
def name():
    """A name that nobody has registered; it is removed afterwards."""
    made = f"own_{uuid.uuid4().hex[:8]}"
    yield made
    for table in (ACTIVATIONS, LOSSES, METRICS, CLASSES):
        table.pop(made, None)


def sine(z):
    return jnp.sin(z)


def cosine(z):
    return jnp.cos(z)


def test_an_activation_trains_saves_and_loads(name, tmp_path):
    mlp_jax.register_activation(name, sine, cosine)
    network = mlp([6], 1, activation=name)
    result = mlp_jax.fit(network, "mse", "adam", (X, Y), epochs=3, batch_size=16)
    assert result.report.ok
    hidden, last = result.params
    by_hand = np.sin(X @ np.asarray(hidden["W"]) + np.asarray(hidden["b"]))
    expected = by_hand @ np.asarray(last["W"]) + np.asarray(last["b"])
    np.testing.assert_allclose(result.predict(X), expected[:, 0], rtol=1e-4, atol=1e-5)
    result.save(tmp_path / "model")
    np.testing.assert_allclose(mlp_jax.load(tmp_path / "model").predict(X), result.predict(X))


def test_an_activation_whose_slope_needs_its_output_alone(name):
    mlp_jax.register_activation(name, jnp.tanh, lambda a: 1 - a**2, keeps="a")
    assert mlp_jax.fit(mlp([5], 1, name), "mse", "sgd", (X, Y), epochs=1, batch_size=16).report.ok


def test_a_wrong_slope_is_caught_before_the_run(name):
    mlp_jax.register_activation(name, sine, lambda z: -jnp.cos(z))
    with pytest.raises(ProofError, match=r"∇z = ∇a' ⊙ f'"):
        mlp_jax.fit(mlp([6], 1, name), "mse", "adam", (X, Y), epochs=1, batch_size=16)


def squared(output, y, scale=1.0):
    return scale * jnp.sum((output - y.reshape(output.shape)) ** 2, axis=1)


def squared_gradient(output, y, scale=1.0):
    return 2 * scale * (output - y.reshape(output.shape))


def test_a_loss_trains_with_its_options_and_predicts(name, tmp_path):
    mlp_jax.register_loss(name, squared, squared_gradient, targets="real", predict="identity")
    loss = mlp_jax.get_loss(name, scale=0.5)
    result = mlp_jax.fit(mlp([6], 1), loss, "adam", (X, Y), epochs=2, batch_size=16)
    assert result.report.ok
    expected = np.mean(0.5 * (result.predict(X) - Y[:, 0]) ** 2)
    assert result.evaluate((X, Y))["loss"] == pytest.approx(expected, rel=1e-5)
    result.save(tmp_path / "model")
    assert mlp_jax.load(tmp_path / "model").loss == loss


def test_a_loss_of_labels_is_checked_too(name):
    def value(output, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1)[:, 0]

    def gradient(output, y):
        return jax.nn.softmax(output) - jax.nn.one_hot(y, output.shape[1], dtype=output.dtype)

    mlp_jax.register_loss(name, value, gradient, targets="classes", predict="softmax")
    data = (X, LABELS)
    ours = mlp_jax.fit(mlp([6], 2), name, "sgd", data, epochs=2, batch_size=16)
    theirs = mlp_jax.fit(mlp([6], 2), CE, "sgd", data, epochs=2, batch_size=16)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5)


def test_a_wrong_gradient_of_a_loss_is_caught(name):
    def half(output, y):
        return squared_gradient(output, y) / 2

    mlp_jax.register_loss(name, squared, half, targets="real", predict="identity")
    with pytest.raises(ProofError):
        mlp_jax.fit(mlp([6], 1), name, "adam", (X, Y), epochs=1, batch_size=16)


def test_a_metric_is_recorded_and_chooses_the_best_epoch(name):
    mlp_jax.register_metric(
        name, lambda p, y: np.mean(np.abs(p[:, 1] - y)), tasks=["classification"],
        higher_is_better=False,
    )  # fmt: skip
    result = mlp_jax.fit(
        mlp([6], 2), CE, "adam", (X, LABELS), epochs=6, batch_size=16, validation=(X, LABELS),
        metrics=(name,),
    )  # fmt: skip
    found = [record[f"validation_{name}"] for record in result.history]
    assert result.best_epoch == int(np.argmin(found)) + 1
    expected = np.mean(np.abs(result.predict_proba(X)[:, 1] - LABELS))
    assert result.evaluate((X, LABELS), [name])[name] == pytest.approx(expected, rel=1e-6)


@dataclass(frozen=True)
class Doubling(Layer):
    """a' = 2a."""

    backwards: float = 2.0

    def forward(self, params, state, a, *, train, key, mask):
        return 2 * a, state, None

    def backward(self, params, saved, grad_a_next, *, need_grad_a=True):
        return self.backwards * grad_a_next, {}

    def init(self, key, n_in):
        return {}, ()


def test_a_layer_trains_and_is_saved_where_it_is_registered(tmp_path):
    network = Sequential((Dense(5, "tanh"), Doubling(), Dense(1)))
    result = mlp_jax.fit(network, "mse", "adam", (X, Y), epochs=2, batch_size=16)
    with pytest.raises(ValueError, match="Doubling is none of"):
        result.save(tmp_path / "before")
    mlp_jax.register_layer(Doubling)
    try:
        result.save(tmp_path / "model")
        np.testing.assert_allclose(mlp_jax.load(tmp_path / "model").predict(X), result.predict(X))
    finally:
        del CLASSES["Doubling"]


def test_a_wrong_backward_pass_of_a_layer_is_caught():
    network = Sequential((Dense(5, "tanh"), Doubling(3.0), Dense(1)))
    with pytest.raises(ProofError, match="Doubling"):
        mlp_jax.fit(network, "mse", "adam", (X, Y), epochs=1, batch_size=16)


@pytest.mark.parametrize(
    ("register", "sentence"),
    [
        (lambda: mlp_jax.register_activation("relu", sine, cosine), "already"),
        (lambda: mlp_jax.register_activation("a b", sine, cosine), "must be a Python identifier"),
        (lambda: mlp_jax.register_activation("own_1", jnp.sum, cosine), "shape and type"),
        (lambda: mlp_jax.register_loss("mse", squared, squared_gradient, targets="real",
                                       predict="identity"), "already"),
        (lambda: mlp_jax.register_loss("own_2", squared, squared_gradient, targets="words",
                                       predict="identity"), "Unknown kind of targets"),
        (lambda: mlp_jax.register_metric("loss", len, tasks=["regression"],
                                         higher_is_better=True), "already"),
        (lambda: mlp_jax.register_metric("own_3", len, tasks=["ranking"],
                                         higher_is_better=True), "Unknown task"),
        (lambda: mlp_jax.register_layer(Dense), "already a layer"),
        (lambda: mlp_jax.register_layer(dict), "derives from mlp_jax.Layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_registered_is_one_sentence(register: Any, sentence: str):
    with pytest.raises(InputError, match=sentence):
        register()


def test_an_activation_given_as_a_function_is_one_sentence():
    """In a process of its own, for the tests check types of every call before."""
    code = "import jax, mlp_jax; mlp_jax.mlp([4], 1, activation=jax.numpy.sin)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "An activation is given by its name" in done.stderr
    assert "mlp_jax.register_activation" in done.stderr


@pytest.mark.parametrize(
    ("alias", "name"),
    [("mse", "squared_error"), ("mae", "absolute_error"), ("cross_entropy", CE),
     ("bce", "sigmoid_cross_entropy")],
)  # fmt: skip
def test_the_usual_names_of_losses_are_accepted(alias, name):
    assert mlp_jax.get_loss(alias) == mlp_jax.get_loss(name)


def test_losses_are_given_by_name_everywhere():
    network = mlp([5], 2)
    params, _ = network.init(jax.random.key(0), 4)
    by_name, by_loss = (
        mlp_jax.value_and_grad(network, loss)(params, X, LABELS)
        for loss in (CE, mlp_jax.get_loss(CE))
    )
    assert by_name[0] == by_loss[0]
    assert mlp_jax.check_gradients(network, "cross_entropy", params, (X[:6], LABELS[:6])).ok
    with pytest.raises(UnknownNameError, match="Did you mean 'squared_error'"):
        mlp_jax.value_and_grad(network, "squared_eror")
