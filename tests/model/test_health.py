"""The health of layers on a network worked out in NumPy, float64."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Activation, BatchNorm, Dense, LayerNorm, Sequential, get_loss
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.model.health import layer_health
from mlp_jax.proof.observe import observe

LOSS = get_loss("squared_error")  # a mean over the outputs: ∇z = (2/C)(s − y)
X = np.array([[1.0, -1], [2, 0.5], [0, 3], [9, 9]])
Y = np.array([[0.5, 1], [0, 0], [1, -1], [7, 7]])
C = np.array([0.2, 0.3, 0.5, 0])


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def watched(network, params, per_example=True, state=None):
    log = {}
    state = network.without_state() if state is None else state
    tape = forward_backward(
        observe(network, log), LOSS, True, params, state, jnp.asarray(X),
        jnp.asarray(Y), jnp.asarray(C), None, None, per_example=per_example,
    )[3]  # fmt: skip
    return log, tape


@pytest.mark.parametrize("per_example", [True, False], ids=["own", "weighted"])
def test_dead_saturated_and_norms_are_those_of_numpy(per_example):
    rng = np.random.default_rng(0)
    W1, b1 = rng.normal(size=(2, 3)), np.array([0.0, -99, 4])
    W2, b2 = rng.normal(size=(3, 2)), np.zeros(2)
    network = Sequential((Dense(3), Activation("relu"), Dense(2, "tanh")))
    params = tuple(
        {"W": jnp.asarray(W), "b": jnp.asarray(b)} if W is not None else {}
        for W, b in ((W1, b1), (None, None), (W2, b2))
    )
    log, tape = watched(network, params, per_example)
    found = layer_health(network, log, jnp.asarray(C), weighted=tape.weighted)
    x, y = X[:3], Y[:3]
    z1 = x @ W1 + b1
    a1 = np.maximum(z1, 0)
    a2 = np.tanh(a1 @ W2 + b2)
    d2 = (a2 - y) * (1 - a2**2)
    d1 = (d2 @ W2.T) * (z1 > 0)
    assert set(found) == {(0,), (1,), (2,)}
    assert found[0,].active is None
    assert found[0,].saturated is None
    assert found[1,].active.tolist() == (a1 != 0).any(axis=0).tolist() == [True, False, True]
    assert found[1,].saturated == 0
    assert found[2,].saturated == pytest.approx((1 - a2**2 < 0.01).mean(), rel=1e-6)
    for path, a, grad_z in (((0,), z1, d1), ((1,), a1, d1), ((2,), a2, d2)):
        np.testing.assert_allclose(found[path].a_square, np.mean(np.sum(a**2, 1)), rtol=1e-12)
        mean = np.mean(np.sum(grad_z**2, 1))
        np.testing.assert_allclose(found[path].grad_z_square, mean, rtol=1e-12)


def test_layers_without_neurons_are_left_out():
    network = Sequential((Dense(4), LayerNorm(), Activation("tanh"), Dense(2)))
    params, _ = network.init(jax.random.key(0), 2)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    log, _ = watched(network, params)
    assert set(layer_health(network, log)) == {(0,), (2,), (3,)}


def test_batch_norm_leaves_health_but_for_no_weights():
    network = Sequential((Dense(4), BatchNorm(), Activation("relu"), Dense(2)))
    params, state = network.init(jax.random.key(0), 2)
    params, state = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, state))
    log, tape = watched(network, params, state=state)
    assert tape.weighted
    found = layer_health(network, log, jnp.asarray(C), weighted=True)
    output = np.asarray(log[3,].a_next)[:3]
    mean = np.mean(np.sum((output - Y[:3]) ** 2, axis=1))
    np.testing.assert_allclose(found[3,].grad_z_square, mean, rtol=1e-12)
