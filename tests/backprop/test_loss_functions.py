"""The formulas of the losses at their limits, and digit by digit against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit

from mlp_jax.backprop import get_loss
from mlp_jax.backprop.ensemble import mean_output, mean_output_gradient
from mlp_jax.backprop.hessians import hessian_root

INF = np.inf
LARGEST = float(np.finfo(np.float32).max)
SIZES = np.concatenate([10.0 ** np.arange(-30, 38.5, 0.5), np.linspace(0.05, 30, 120), [3e38]])
GRID = np.concatenate([-SIZES, [0.0], SIZES]).astype(np.float32)
FEW_ULP = 5 * 2.0**-23
SMALLEST = 4e-38  # below it float32 has fewer digits


def value_and_gradient(name, s, y, dtype="float32", **options):
    """Eₙ (N,) and ∇Eₙ (N, C) of rows of outputs and their targets."""
    loss, s, y = get_loss(name, **options), jnp.asarray(s, dtype), jnp.asarray(y)
    return np.asarray(loss.value(s, y)), np.asarray(loss.gradient(s, y))


def p_of(*logits):
    """The softmax in float64, a logit of −∞ having probability 0."""
    powers = np.exp(np.asarray(logits, float) - max(logits))
    return powers / powers.sum()


P = p_of(0.3, -INF, 1.0)
LIMITS = [
    ("softmax_cross_entropy", {}, [0.3, -INF, 1.0], 0, -np.log(P[0]), P - [1, 0, 0]),
    ("softmax_cross_entropy", {}, [0.3, -INF, 1.0], 1, INF, P - [0, 1, 0]),
    ("softmax_cross_entropy", {}, [0.3, -INF, -INF], 0, 0, [0, 0, 0]),
    ("softmax_cross_entropy", {}, [0.3, INF, 1.0], 1, 0, [0, 0, 0]),
    ("softmax_cross_entropy", {}, [0.3, INF, 1.0], 0, INF, [-1, 1, 0]),
    ("softmax_cross_entropy", {}, [0.3, -INF, 1.0], [0.5, 0.0, 0.5],
     -np.log(P[0] * P[2]) / 2, P - [0.5, 0, 0.5]),
    ("softmax_cross_entropy", {"label_smoothing": 0.3}, [0.3, -INF, 1.0], 0,
     INF, P - [0.8, 0.1, 0.1]),
    ("softmax_cross_entropy", {}, [LARGEST, -LARGEST], 1, INF, [1, -1]),
    ("softmax_cross_entropy", {}, [LARGEST, -LARGEST], 0, 0, [0, 0]),
    ("softmax_cross_entropy", {"label_smoothing": 0.1}, [LARGEST, -LARGEST], 0,
     0.1 * LARGEST, [0.05, -0.05]),
    ("sigmoid_cross_entropy", {}, [INF, -INF], [1, 0], 0, [0, 0]),
    ("sigmoid_cross_entropy", {}, [INF, -INF], [0, 1], INF, [1, -1]),
    ("sigmoid_cross_entropy", {}, [LARGEST, -LARGEST], [1, 0], 0, [0, 0]),
    ("sigmoid_cross_entropy", {}, [LARGEST, 0.0], [0, 1], LARGEST, [1, -0.5]),
    ("sigmoid_cross_entropy", {"label_smoothing": 0.2}, [INF], [1], INF, [0.1]),
    ("focal", {}, [0.3, -INF, 1.0], 1, INF, P - [0, 1, 0]),
    ("focal", {}, [0.3, INF, 1.0], 1, 0, [0, 0, 0]),
    ("focal", {"gamma": 0.0}, [0.3, -INF, 1.0], 0, -np.log(P[0]), P - [1, 0, 0]),
    ("focal", {}, [INF, -INF], [1, 0], 0, [0, 0]),
    ("focal", {}, [INF, -INF], [0, 1], INF, [1, -1]),
    ("hinge", {}, [0.3, -INF, 1.0], 0, 1.7, [-1, 0, 1]),
    ("hinge", {}, [0.3, -INF, 1.0], 1, INF, [0, -1, 1]),
    ("hinge", {}, [0.3, INF, 1.0], 1, 0, [0, 0, 0]),
    ("hinge", {}, [INF, -INF], [1, 0], 0, [0, 0]),
    ("hinge", {}, [INF, -INF], [0, 0], INF, [1, 0]),
    ("hinge", {}, [1e8, 1e8], 0, 1, [-1, 1]),
    ("poisson", {}, [-INF], [0.0], 0, [0]),
    ("poisson", {}, [-INF], [2.0], INF, [-2]),
    ("poisson", {}, [INF], [2.0], INF, [INF]),
    ("poisson", {}, [LARGEST], [2.0], INF, [INF]),
    ("squared_error", {}, [-INF], [2.0], INF, [-INF]),
    ("squared_error", {}, [2e38, 0.0], [0.0, 0.0], INF, [2e38, 0]),
    ("absolute_error", {}, [INF], [2.0], INF, [1]),
    ("absolute_error", {}, [3e38, -3e38, 0.0], [0.0] * 3, 2e38, [1 / 3, -1 / 3, 0]),
    ("huber", {}, [-INF], [2.0], INF, [-1]),
    ("huber", {"delta": 1e30}, [2e19], [0.0], 2e38, [2e19]),
    ("log_cosh", {}, [INF], [2.0], INF, [1]),
    ("quantile", {"q": 0.9}, [-INF], [2.0], INF, [-0.9]),
    ("quantile", {"q": 1e-9}, [0.0], [1.0], 1e-9, [-1e-9]),
]  # fmt: skip


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: f"{case[0]} {case[2]} {case[3]}")
def test_a_loss_of_infinite_or_enormous_outputs_is_its_limit(case):
    name, options, s, y, value, gradient = case
    found = value_and_gradient(name, [s], [y], **options)
    np.testing.assert_allclose(found[0], [value], rtol=1e-6)
    np.testing.assert_allclose(found[1], [gradient], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "s", "y"),
    [
        ("softmax_cross_entropy", [-INF, -INF], 0),
        ("softmax_cross_entropy", [INF, INF], 0),
        ("softmax_cross_entropy", [np.nan, 0.0], 1),
        ("sigmoid_cross_entropy", [np.nan], [1]),
        ("focal", [np.nan, 0.0], 1),
        ("squared_error", [INF], [INF]),
        ("poisson", [np.nan], [0.0]),
        ("log_cosh", [np.nan], [0.0]),
        ("quantile", [np.nan], [0.0]),
    ],
)
def test_a_loss_without_a_limit_is_nan_in_value_and_gradient(name, s, y):
    value, gradient = value_and_gradient(name, [s], [y])
    assert np.isnan(value).all()
    assert np.isnan(gradient).any()


def test_jax_differentiates_the_cross_entropy_of_a_masked_class_too():
    loss, s = get_loss("softmax_cross_entropy"), jnp.asarray([[0.3, -INF, 1.0], [1.0, 1.0, 1.0]])
    found = jax.grad(lambda s: jnp.sum(loss.value(s, jnp.asarray([0, 2]))))(s)
    np.testing.assert_allclose(found, [P - [1, 0, 0], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6)


def log_cosh(e):
    size = np.abs(e)
    far = size + np.log1p(np.exp(-2 * size)) - np.log(2)
    return np.where(size < 1, np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2), far)


def sech(e):
    return 2 * np.exp(-np.abs(e)) / (1 + np.exp(-2 * np.abs(e)))


def exp_minus_1(s):
    return np.where(np.abs(s) < 1, np.expm1(np.clip(s, -1, 1)), np.exp(s) - 1)


def clipped(e):
    return np.clip(e, -1, 1)


IN_FLOAT64 = {
    "squared_error": (0.0, lambda e: e * e, lambda e: 2 * e),
    "huber": (0.0, lambda e: clipped(e) * (e - clipped(e) / 2), clipped),
    "log_cosh": (0.0, log_cosh, np.tanh),
    "poisson": (1.0, lambda s: np.exp(s) - s, exp_minus_1),
    "sigmoid_cross_entropy": (1.0, lambda s: -log_expit(s), lambda s: -expit(-s)),
    "focal": (
        1.0,
        lambda s: -(expit(-s) ** 2) * log_expit(s),
        lambda s: expit(-s) ** 2 * (2 * expit(s) * log_expit(s) - expit(-s)),
    ),
}


def assert_few_ulp(found, wanted):
    wanted = np.where(np.abs(wanted) > LARGEST, np.copysign(INF, wanted), wanted)
    np.testing.assert_allclose(found, wanted, rtol=FEW_ULP, atol=SMALLEST)


@pytest.mark.parametrize("name", IN_FLOAT64)
@np.errstate(over="ignore", under="ignore")
def test_a_loss_in_float32_is_that_of_float64_to_a_few_ulp_at_every_size(name):
    y, value, gradient = IN_FLOAT64[name]
    found = value_and_gradient(name, GRID[:, None], np.full((len(GRID), 1), y, np.float32))
    assert_few_ulp(found[0], value(GRID.astype(float)))
    assert_few_ulp(found[1][:, 0], gradient(GRID.astype(float)))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "focal"])
@np.errstate(over="ignore", under="ignore")
def test_two_classes_are_to_a_few_ulp_the_binary_loss_of_their_difference(name, label):
    """For labels in one-hot form, the logits being (s, 0)."""
    logits = np.stack([GRID, np.zeros_like(GRID)], axis=1)
    found = value_and_gradient(name, logits, np.full(len(GRID), label))
    margin = GRID.astype(float) * (1 if label == 0 else -1)
    _, value, gradient = IN_FLOAT64[
        "sigmoid_cross_entropy" if name == "softmax_cross_entropy" else name
    ]
    slope = gradient(margin) * (1 if label == 0 else -1)
    assert_few_ulp(found[0], value(margin))
    assert_few_ulp(found[1], np.stack([slope, -slope], axis=1))


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("log_cosh", sech),
        ("poisson", lambda s: np.exp(s / 2)),
        ("sigmoid_cross_entropy", lambda s: np.exp(-np.abs(s) / 2) * expit(np.abs(s))),
    ],
)
@np.errstate(over="ignore", under="ignore")
def test_the_root_of_the_curvature_keeps_its_digits_at_every_size(name, root):
    found = hessian_root(get_loss(name), jnp.asarray(GRID)[:, None], jnp.zeros((len(GRID), 1)))
    assert_few_ulp(np.asarray(found)[0, :, 0], root(GRID.astype(float)))


def test_the_curvature_of_a_masked_class_is_0():
    root = np.asarray(
        hessian_root(get_loss("softmax_cross_entropy"), jnp.asarray([[0.3, -INF, 1]]))
    )[:, 0]
    np.testing.assert_allclose(root.T @ root, np.diag(P) - np.outer(P, P), atol=1e-6)


def test_an_ensemble_whose_members_all_mask_a_class_has_a_finite_gradient():
    s = jnp.asarray([[[0.3, -INF, 1.0]], [[1.3, -INF, -1.0]]])
    mean = (P + p_of(1.3, -INF, -1.0)) / 2
    found = np.asarray(mean_output("softmax", s))[0]
    np.testing.assert_allclose(np.exp(found), mean, rtol=1e-6)
    gradient = mean_output_gradient("softmax", s, jnp.asarray([mean - [1, 0, 0]], jnp.float32))
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient)[:, :, 1] == 0).all()
