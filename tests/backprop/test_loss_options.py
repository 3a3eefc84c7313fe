"""What a loss predicts, its type, its options, and the targets it takes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import LOSSES, Loss, get_loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.errors import InputError, UnknownNameError

N, C = 9, 4
RNG = np.random.default_rng(0)
OUTPUT = RNG.normal(scale=2, size=(N, C))
LABELS = RNG.integers(0, C, N)
BITS = RNG.integers(0, 2, (N, C))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_in_the_type_of_the_output(name):
    kind = LOSSES[name].targets
    y = jnp.asarray(LABELS if kind == "classes" else BITS.astype(np.int32))
    s = jax.ShapeDtypeStruct((N, C), jnp.float32)
    for f in (get_loss(name).value, get_loss(name).gradient):
        assert jax.eval_shape(f, s, y).dtype == jnp.float32


def test_the_prediction_is_what_the_loss_trains_for():
    s = jnp.asarray(OUTPUT, jnp.float32)
    np.testing.assert_array_equal(get_loss("squared_error").predict(s), s)
    np.testing.assert_allclose(get_loss("poisson").predict(s), np.exp(s), rtol=1e-6)
    powers = np.exp(OUTPUT)
    np.testing.assert_allclose(
        get_loss("softmax_cross_entropy").predict(s),
        powers / powers.sum(axis=1, keepdims=True),
        rtol=2e-6,
    )
    np.testing.assert_allclose(
        get_loss("sigmoid_cross_entropy").predict(s), 1 / (1 + np.exp(-OUTPUT)), rtol=2e-6
    )
    np.testing.assert_allclose(
        get_loss("hinge").predict(s[:, :1]), 1 / (1 + np.exp(-OUTPUT[:, :1])), rtol=2e-6
    )


def test_equal_losses_are_equal_and_hash_alike():
    loss = get_loss("huber", delta=2.0)
    assert loss == Loss("huber", (("delta", 2.0),)) == get_loss("huber", delta=2)
    assert hash(loss) == hash(get_loss("huber", delta=2))
    assert loss != get_loss("huber")
    assert str(loss) == "huber(delta=2)"
    assert str(get_loss("poisson")) == "poisson"


def test_an_unknown_loss_lists_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'hinge'") as raised:
        get_loss("hinges")
    assert all(name in str(raised.value) for name in LOSSES)


def test_an_unknown_option_names_the_options_of_that_loss():
    with pytest.raises(UnknownNameError, match=r"'huber' 'gamma'.*Known: delta"):
        get_loss("huber", gamma=1.0)
    with pytest.raises(UnknownNameError, match="'poisson' 'delta'"):
        get_loss("poisson", delta=1.0)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("huber", {"delta": 0.0}, "delta of the loss huber must be positive"),
        ("huber", {"delta": math.inf}, "finite, not inf"),
        ("quantile", {"q": 1.0}, r"q of the loss quantile must lie in \(0, 1\), not 1"),
        ("softmax_cross_entropy", {"label_smoothing": 1.0}, r"must lie in \[0, 1\), not 1"),
        ("sigmoid_cross_entropy", {"label_smoothing": -0.1}, "not -0.1"),
        ("focal", {"gamma": -1.0}, "gamma of the loss focal must be at least 0"),
        ("focal", {"gamma": math.nan}, "not nan"),
    ],
)
def test_an_option_out_of_range_is_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        get_loss(name, **options)


@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        ("squared_error", (N,), 1),
        ("squared_error", (N, 1), 1),
        ("squared_error", (N, C), C),
        ("softmax_cross_entropy", (N,), C),
        ("softmax_cross_entropy", (N, C), C),
        ("sigmoid_cross_entropy", (N,), 1),
        ("hinge", (N,), 1),
        ("focal", (N, C), C),
    ],
)
def test_targets_that_fit_pass(name, shape, outputs):
    check_targets(get_loss(name), jnp.zeros(shape), outputs)


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "said"),
    [
        ("squared_error", (N,), C, r"squared_error over 4 outputs .* \(9,\); give \(N, 4\)"),
        ("squared_error", (N, 2), C, r"\(9, 2\); give \(N, 4\)"),
        ("squared_error", (N, 1, 1), 1, r"\(9, 1, 1\); give \(N, 1\)"),
        ("sigmoid_cross_entropy", (N,), C, r"\(9,\); give \(N, 4\)"),
        ("softmax_cross_entropy", (N, 1), C, r"\(9, 1\); give labels \(N,\) or \(N, 4\)"),
        ("softmax_cross_entropy", (N,), 1, "needs an output for each class.*sigmoid_cross_entropy"),
        ("hinge", (N, 3), C, r"give labels \(N,\) or \(N, 4\)"),
    ],
)
def test_targets_that_do_not_fit_get_one_clear_sentence(name, shape, outputs, said):
    with pytest.raises(InputError, match=said):
        check_targets(get_loss(name), jnp.zeros(shape), outputs)
