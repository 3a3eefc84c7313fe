"""Initial weights: the right spread, the right one for an activation, the same in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import INITIALIZERS, Dense, mlp
from mlp_jax.backprop.initializers import initial_weight
from mlp_jax.errors import UnknownNameError

KEY = jax.random.key(5)
I, J = 120, 300  # noqa: E741
# Variances from the papers: 2/fan_in (He 2015), 2/(fan_in + fan_out) (Glorot 2010),
# 1/fan_in (LeCun 1998); the uniform ones reach to √(3 variance).
VARIANCES = {"standard": 1.0, "he": 2 / I, "glorot": 2 / (I + J), "lecun": 1 / I}


@pytest.fixture(scope="module")
def weights():
    return {name: np.asarray(initial_weight(name, KEY, I, J)) for name in INITIALIZERS}


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"orthogonal"}))
def test_weights_have_mean_0_and_the_variance_of_the_paper(name, weights):
    """Within 4 standard errors: a variance from n draws is off by at most √(2/n) of itself."""
    W, expected = weights[name], VARIANCES[name.partition("_")[0]]
    assert W.shape == (I, J)
    assert W.dtype == np.float32
    assert abs(W.mean()) <= 4 * (expected / W.size) ** 0.5
    assert abs(W.var() / expected - 1) <= 4 * (2 / W.size) ** 0.5
    if name.endswith("uniform"):
        assert np.abs(W).max() <= (3 * expected) ** 0.5
        assert np.abs(W).max() >= 0.99 * (3 * expected) ** 0.5
    else:
        assert np.abs(W).max() >= 2 * expected**0.5


def test_orthogonal_weights_have_orthogonal_rows_of_length_root_2(weights):
    W = weights["orthogonal"]
    np.testing.assert_allclose(W @ W.T, 2 * np.eye(I), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "initializer"),
    [
        ("relu", "he_normal"),
        ("leaky_relu", "he_normal"),
        ("gelu", "he_normal"),
        ("silu", "he_normal"),
        ("selu", "lecun_normal"),
        ("tanh", "glorot_uniform"),
        ("sigmoid", "glorot_uniform"),
        ("softsign", "glorot_uniform"),
        ("identity", "glorot_uniform"),
    ],
)
def test_an_activation_gets_the_initializer_that_suits_it(activation, initializer, weights):
    params, _ = Dense(J, activation).init(KEY, I)
    np.testing.assert_array_equal(params["W"], weights[initializer])
    np.testing.assert_array_equal(params["b"], np.zeros(J))


def test_a_named_initializer_wins_over_the_activations_own(weights):
    params, _ = Dense(J, "relu", "glorot_normal").init(KEY, I)
    np.testing.assert_array_equal(params["W"], weights["glorot_normal"])


def test_a_dense_layer_before_a_norm_starts_as_its_activation_wants():
    network = mlp([J], 3, "relu", norm="layer")
    W = np.asarray(network.init(KEY, I)[0][0]["W"])
    assert abs(W.var() / (2 / I) - 1) <= 4 * (2 / W.size) ** 0.5


def test_the_same_seed_gives_the_same_network_and_another_another():
    network = mlp([6, 6], 6)
    first, again, other = (network.init(jax.random.key(seed), 6)[0] for seed in (0, 0, 1))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    matrices = [layer["W"] for params in (first, other) for layer in params]
    assert len({W.tobytes() for W in map(np.asarray, matrices)}) == len(matrices)


def test_float64_does_not_change_the_draws(weights):
    with jax.enable_x64(True):
        key = jax.random.key(5)
        for name in ("he_normal", "glorot_uniform"):
            W = initial_weight(name, key, I, J)
            assert W.dtype == jnp.float32
            np.testing.assert_array_equal(W, weights[name])
        made = jax.eval_shape(lambda key: mlp([4], 2, norm="batch").init(key, 3), key)
    assert {leaf.dtype for leaf in jax.tree.leaves(made)} == {np.dtype("float32")}


def test_an_unknown_initializer_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'orthogonal'") as raised:
        initial_weight("orthogonl", KEY, 2, 2)
    assert all(name in str(raised.value) for name in INITIALIZERS)
