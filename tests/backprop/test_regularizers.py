"""Dropout: the mask, its mean, and the same mask on the way back."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Dropout, apply
from mlp_jax.errors import InputError

KEY = jax.random.key(3)
RATES = [0.0, 0.1, 0.5, 0.9, 0.999999]


def forward(rate, a, *, key=KEY, train=True):
    out, state, residual = Dropout(rate).forward({}, (), a, train=train, key=key, mask=None)
    assert state == ()
    return out, residual


@pytest.mark.parametrize("rate", RATES)
def test_the_kept_fraction_is_1_minus_the_rate(rate):
    """Within 4 standard deviations of the binomial, and the mask's resolution of 2⁻¹⁶."""
    out, _ = forward(rate, jnp.ones((400, 500)))
    kept = float(jnp.mean((out != 0).astype(jnp.float32)))
    allowed = 4 * math.sqrt(rate * (1 - rate) / 200_000) + 2**-16
    assert abs(kept - (1 - rate)) <= allowed


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_mean_is_preserved(rate):
    """Each entry is 0 or a/(1 − p): variance p/(1 − p) of a's square."""
    out, _ = forward(rate, jnp.full((400, 500), -3.0))
    allowed = 4 * 3 * math.sqrt(rate / (1 - rate) / 200_000)
    assert abs(float(jnp.mean(out)) + 3) <= allowed
    np.testing.assert_allclose(np.unique(out), [-3 / (1 - rate), 0], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_backward_of_ones_is_forward_of_ones(rate):
    ones = jnp.ones((50, 40))
    out, residual = forward(rate, ones)
    grad_a, records = Dropout(rate).backward({}, residual, ones, need_grad_a=True)
    np.testing.assert_array_equal(grad_a, out)
    assert records == {}
    assert (0 in np.unique(out)) == (rate > 0)


def test_backward_is_the_vjp_with_the_mask_held():
    rng = np.random.default_rng(0)
    a, grad = (jnp.asarray(rng.normal(size=(20, 10)), jnp.float32) for _ in range(2))
    _, residual = forward(0.3, a)
    (expected,) = jax.vjp(lambda a: forward(0.3, a)[0], a)[1](grad)
    ours, _ = Dropout(0.3).backward({}, residual, grad, need_grad_a=True)
    np.testing.assert_array_equal(ours, expected)


def test_inference_is_the_identity_in_both_directions():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
    out, residual = forward(0.5, a, train=False, key=None)
    assert out is a
    assert residual is None
    grad, _ = Dropout(0.5).backward({}, residual, a, need_grad_a=True)
    assert grad is a


def test_rate_0_keeps_everything():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(50, 40)), jnp.float32)
    np.testing.assert_array_equal(forward(0.0, a)[0], a)


def test_other_keys_draw_other_masks_and_the_same_key_the_same():
    ones = jnp.ones((50, 40))
    first, again, other = (forward(0.5, ones, key=jax.random.key(k))[0] for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    differ = float(jnp.mean((first != other).astype(jnp.float32)))
    assert abs(differ - 0.5) <= 4 * 0.5 / math.sqrt(2000)


def test_rows_and_columns_draw_apart():
    kept = np.asarray(forward(0.5, jnp.ones((64, 64)))[0]) > 0
    assert len(np.unique(kept, axis=0)) == len(np.unique(kept, axis=1).T) == 64


def test_float64_drops_the_same_entries_as_float32():
    narrow = forward(0.5, jnp.ones((30, 20)))[0]
    with jax.enable_x64(True):
        wide = forward(0.5, jnp.ones((30, 20)), key=jax.random.key(3))[0]
        assert wide.dtype == jnp.float64
    np.testing.assert_array_equal(narrow, wide)


def test_a_dropped_value_is_gone_even_if_it_is_not_finite():
    out, residual = forward(0.5, jnp.full((10, 10), jnp.inf))
    assert set(np.unique(out)) == {0.0, np.inf}
    assert out.dtype == jnp.float32
    assert residual.dtype == bool


def test_bfloat16_stays_bfloat16():
    assert forward(0.5, jnp.ones((4, 4), jnp.bfloat16))[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(InputError, match=r"dropout rate must lie in \[0, 1\), not"):
        Dropout(rate)


def test_dropout_in_training_without_a_key_says_what_is_missing():
    with pytest.raises(InputError, match="needs a random key: pass key="):
        apply(Dropout(0.5), {}, jnp.ones((2, 2)), train=True)
