"""What the model draws has the loss's own curvature as its second moment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import LOSSES, get_loss, hessian_root
from mlp_jax.backprop.sampling import DRAWN as DRAWABLE
from mlp_jax.backprop.sampling import drawn_gradient
from mlp_jax.errors import InputError

N, C = 5, 3
OUTPUT = np.random.default_rng(0).normal(0, 1.5, (N, C))
DRAWN = [
    get_loss("softmax_cross_entropy"),
    get_loss("softmax_cross_entropy", label_smoothing=0.3),
    get_loss("sigmoid_cross_entropy"),
    get_loss("sigmoid_cross_entropy", label_smoothing=0.3),
    get_loss("squared_error"),
    get_loss("poisson"),
]


def hessians(loss, output):
    """∂²Eₙ/∂s² by JAX, at any target: it does not depend on it."""

    def one(s):
        y = jnp.zeros(1, int) if loss.name.startswith("softmax") else jnp.ones((1, C))
        return loss.value(s[None], y)[0]

    return np.asarray(jax.jit(jax.vmap(jax.hessian(one)))(output))


@pytest.mark.parametrize("loss", DRAWN, ids=str)
def test_the_root_has_the_hessian_of_the_loss_whatever_its_smoothing(loss, x64):
    root = np.asarray(hessian_root(loss, jnp.asarray(OUTPUT)))
    assert_agree(np.einsum("knc,knd->ncd", root, root), hessians(loss, jnp.asarray(OUTPUT)))


@pytest.mark.parametrize("loss", DRAWN, ids=str)
def test_many_draws_have_no_mean_and_the_hessian_as_second_moment(loss, x64):
    draws = 40_000
    many = jnp.repeat(jnp.asarray(OUTPUT), draws, axis=0)
    found = np.asarray(drawn_gradient(loss, many, jax.random.key(1))).reshape(N, draws, C)
    expected = hessians(loss, jnp.asarray(OUTPUT))
    size = np.sqrt(np.trace(expected, axis1=1, axis2=2))[:, None]
    assert np.all(np.abs(found.mean(axis=1)) < 5 * size / np.sqrt(draws))
    second = np.einsum("nmc,nmd->ncd", found, found) / draws
    for ours, theirs in zip(second, expected, strict=True):
        assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(theirs)


def test_a_drawn_gradient_is_the_gradient_at_a_target_that_can_be(x64):
    s, key = jnp.asarray(OUTPUT), jax.random.key(2)
    softmax, sigmoid, squared = DRAWN[0], DRAWN[2], DRAWN[4]
    drawn = drawn_gradient(softmax, s, key)
    label = jnp.argmin(drawn, axis=1)
    assert_agree(drawn, softmax.gradient(s, label))
    drawn = drawn_gradient(sigmoid, s, key)
    assert_agree(drawn, sigmoid.gradient(s, (drawn < 0).astype(int)))
    drawn = drawn_gradient(squared, s, key)
    y = s + np.sqrt(C / 2) * jax.random.normal(key, s.shape, s.dtype)
    assert_agree(drawn, squared.gradient(s, y))


def test_one_output_of_the_poisson_loss_draws_a_count(x64):
    s = jnp.asarray([[0.5], [3.0], [-2.0]])
    loss = get_loss("poisson")
    y = np.exp(s) - np.asarray(drawn_gradient(loss, s, jax.random.key(0)))
    np.testing.assert_allclose(y, np.round(y), atol=1e-12)


@pytest.mark.parametrize("name", [n for n in DRAWABLE if n != "poisson"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certain_outputs_draw_what_they_are_certain_of(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        s = jnp.asarray([[100.0, -100, 0], [-1000, 1000, -1000]], dtype)
        for found in (
            drawn_gradient(get_loss(name), s, jax.random.key(0)),
            hessian_root(get_loss(name), s),
        ):
            assert found.dtype == dtype
            assert np.isfinite(found).all()
        if name != "squared_error":
            drawn = np.asarray(drawn_gradient(get_loss(name), s, jax.random.key(0)))
            assert np.abs(drawn[1]).max() == 0


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in DRAWABLE])
def test_a_loss_without_a_distribution_is_refused_by_name(name):
    with pytest.raises(InputError, match=f"The loss {name} is not a negative") as caught:
        drawn_gradient(get_loss(name), jnp.ones((2, C)), jax.random.key(0))
    assert "poisson, sigmoid_cross_entropy, softmax_cross_entropy" in str(caught.value)


@pytest.mark.parametrize("name", ["huber", "log_cosh"])
def test_a_curvature_that_depends_on_the_targets_asks_for_them(name):
    with pytest.raises(InputError, match="depends on the targets: pass y"):
        hessian_root(get_loss(name), jnp.ones((2, C)))
