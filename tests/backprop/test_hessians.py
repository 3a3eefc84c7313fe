"""SSᵀ is the Hessian that JAX finds of each loss, and keeps its digits at extreme outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import get_loss, hessian_root
from mlp_jax.backprop.hessians import HESSIAN_ROOTS, REFUSED
from mlp_jax.backprop.losses import LOSSES
from mlp_jax.errors import InputError

N, C = 6, 4
CASES = [
    ("squared_error", {}),
    ("huber", {"delta": 0.7}),
    ("log_cosh", {}),
    ("poisson", {}),
    ("sigmoid_cross_entropy", {"label_smoothing": 0.1}),
    ("softmax_cross_entropy", {}),
    ("softmax_cross_entropy", {"label_smoothing": 0.1}),
]


def targets(loss, rng, n_outputs=C):
    kind = loss.function.targets
    if kind == "classes":
        return jnp.asarray(rng.integers(0, n_outputs, N))
    if kind == "binary":
        return jnp.asarray(rng.integers(0, 2, (N, n_outputs)), float)
    return jnp.asarray(rng.poisson(2.0, (N, n_outputs)), float)


def squared(root):
    return np.einsum("knc,knd->ncd", root, root)


def by_jax(loss, s, y):
    one = jax.hessian(lambda s, y: loss.value(s[None], y[None])[0])
    return jax.jit(jax.vmap(one))(s, y)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.usefixtures("x64")
def test_the_root_squared_is_the_hessian(name, options):
    rng = np.random.default_rng(0)
    loss = get_loss(name, **options)
    s, y = jnp.asarray(rng.normal(size=(N, C))), targets(loss, rng)
    assert_agree(squared(hessian_root(loss, s, y)), by_jax(loss, s, y))


@pytest.mark.usefixtures("x64")
def test_targets_that_are_probabilities_count_with_their_sum():
    rng = np.random.default_rng(1)
    s, y = jnp.asarray(rng.normal(size=(N, C))), jnp.asarray(rng.uniform(0, 1, (N, C)))
    loss = get_loss("softmax_cross_entropy")
    assert_agree(squared(hessian_root(loss, s, y)), by_jax(loss, s, y))


def test_softmax_needs_one_column_less_than_classes():
    s = jnp.zeros((N, C))
    assert hessian_root(get_loss("softmax_cross_entropy"), s, jnp.zeros(N, int)).shape == (3, N, C)
    assert hessian_root(get_loss("squared_error"), s, s).shape == (C, N, C)


EXTREMES = np.array(
    [[0, 100, -100, 30], [700, 0, 0, -700], [0, 0, -40, -41], [-40, -41, 0, -300], [1e4, 0, -5, 9]]
)


@pytest.mark.usefixtures("x64")
def test_softmax_keeps_its_digits_where_one_class_is_nearly_certain():
    """p_k(1 − p_k) with 1 − p_k summed over the others; a difference would be 0 there."""
    e = np.exp(EXTREMES - EXTREMES.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rest = np.stack([np.delete(p, k, axis=1).sum(axis=1) for k in range(4)], axis=1)
    root = hessian_root(get_loss("softmax_cross_entropy"), jnp.asarray(EXTREMES), jnp.zeros(5, int))
    found, size = squared(root), np.sqrt(p * rest)
    np.testing.assert_allclose(np.einsum("ncc->nc", found), p * rest, rtol=1e-12, atol=1e-290)
    away = np.abs(found + p[:, :, None] * p[:, None, :])[:, ~np.eye(4, dtype=bool)]
    assert (away <= 1e-14 * (size[:, :, None] * size[:, None, :])[:, ~np.eye(4, dtype=bool)]).all()


@pytest.mark.usefixtures("x64")
def test_binary_and_smooth_losses_keep_their_digits_far_out():
    s = np.array([[-700.0, -50.0, 50.0, 600.0]])
    y = jnp.zeros_like(s)
    tail = np.exp(-np.abs(s[0]))
    for name, expected in (
        ("sigmoid_cross_entropy", tail / (1 + tail) ** 2),
        ("log_cosh", (2 * tail / (1 + tail**2)) ** 2 / 4),
        ("poisson", np.exp(s[0]) / 4),
    ):
        found = np.diagonal(squared(hessian_root(get_loss(name), jnp.asarray(s), y))[0])
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-290, err_msg=name)


def test_float32_stays_finite_and_positive():
    for name in HESSIAN_ROOTS:
        s = jnp.asarray(np.clip(EXTREMES, -80, 80), jnp.float32)
        y = jnp.zeros(5, int) if name == "softmax_cross_entropy" else jnp.zeros_like(s)
        found = squared(hessian_root(get_loss(name), s, y))
        assert np.isfinite(found).all(), name
        assert (np.diagonal(found, axis1=1, axis2=2) >= 0).all(), name


def test_every_loss_has_a_root_or_a_reason():
    assert set(HESSIAN_ROOTS) | set(REFUSED) == set(LOSSES)
    assert not set(HESSIAN_ROOTS) & set(REFUSED)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_loss_without_curvature_is_refused_in_one_sentence(name):
    with pytest.raises(InputError, match=r"so it has no Gauss-Newton curvature; .*softmax"):
        hessian_root(get_loss(name), jnp.zeros((N, C)), jnp.zeros((N, C)))
