"""`Recomputing`: the sequence's own gradient, with less kept on the way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Dense, Dropout, Residual, Sequential, get_loss, mlp, value_and_grad
from mlp_jax.backprop.recompute import Recomputing, recomputing
from mlp_jax.proof import check_gradients

NETWORKS = {
    "plain": mlp((12, 10, 8), 3, "gelu"),
    "norm and dropout": mlp((12, 10), 3, "relu", norm="layer", dropout=0.3),
    "batch norm": mlp((12, 10), 3, "tanh", norm="batch"),
    "residual": mlp((10, 10, 10), 3, "silu", residual=True, norm="rms"),
    "one layer": Sequential((Dense(3),)),
}


def batch(n=12):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, 6)), rng.integers(0, 3, n).astype(np.int32)


@pytest.mark.parametrize("name", NETWORKS)
def test_value_state_and_gradient_are_those_of_the_sequence(name):
    network, loss = NETWORKS[name], get_loss("softmax_cross_entropy")
    x, y = batch()
    with jax.enable_x64(True):
        params, state = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64), network.init(jax.random.key(0), 6)
        )
        how = {"key": jax.random.key(3), "state": state, "weights": jnp.linspace(0.0, 1, 12)}
        expected = value_and_grad(network, loss)(params, x, y, **how)
        found = value_and_grad(recomputing(network), loss)(params, x, y, **how)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15), found, expected
    )


@pytest.mark.parametrize("name", ["norm and dropout", "residual"])
def test_the_proof_holds_for_it(name):
    network = recomputing(NETWORKS[name])
    params, state = network.init(jax.random.key(0), 6)
    report = check_gradients(
        network, get_loss("softmax_cross_entropy"), params, batch(), state=state
    )
    assert report.ok, report.fault


def test_a_dropout_drawn_anew_going_back_would_be_found(monkeypatch):
    network = recomputing(NETWORKS["norm and dropout"])
    usual, calls = Recomputing._through, []

    def other_key(self, *arguments, key, **how):
        calls.append(key)
        going_back = len(calls) > len(self.segments())
        moved = jax.random.fold_in(key, 1) if going_back and key is not None else key
        return usual(self, *arguments, key=moved, **how)

    monkeypatch.setattr(Recomputing, "_through", other_key)
    params, state = network.init(jax.random.key(0), 6)
    report = check_gradients(
        network, get_loss("softmax_cross_entropy"), params, batch(), state=state
    )
    assert not report.ok


def needed(network, n=2048):
    """Bytes that the compiled gradient takes besides its arguments and results."""
    loss = get_loss("squared_error")
    params, _ = network.init(jax.random.key(0), 64)
    x, y = jnp.ones((n, 64)), jnp.ones((n, 1))
    step = jax.jit(lambda params, x, y: value_and_grad(network, loss)(params, x, y))
    return step.lower(params, x, y).compile().memory_analysis().temp_size_in_bytes


def test_of_many_layers_about_the_root_is_kept():
    deep = Sequential((*[Dense(64, "silu")] * 36, Dense(1)))
    kept, recomputed = needed(deep), needed(recomputing(deep))
    assert recomputed < 0.5 * kept


def test_the_segments_are_all_layers_in_order():
    for count in (1, 2, 5, 16, 37):
        network = Recomputing((Dense(4),) * count)
        found = [index for segment in network.segments() for index in segment]
        assert found == list(range(count))
        assert len(network.segments()) <= 2 * count**0.5 + 1


def test_a_layer_that_is_no_sequence_stays_as_it_is():
    layer = Residual(Sequential((Dense(4), Dropout(0.1))))
    assert recomputing(layer) is layer
