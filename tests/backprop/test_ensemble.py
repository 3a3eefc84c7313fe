import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Ensemble, Loss, get_loss, mlp, value_and_grad
from mlp_jax.backprop.ensemble import mean_output, mean_output_gradient
from mlp_jax.errors import InputError, UnknownNameError

MEMBERS = tuple(mlp([width], 3, "tanh") for width in (4, 4, 5))
LINKS = {
    "softmax": lambda s: jax.nn.softmax(s, axis=1),
    "sigmoid": jax.nn.sigmoid,
    "exp": jnp.exp,
    "identity": lambda s: s,
}


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def made(link):
    ensemble = Ensemble(MEMBERS, link)
    params, state = ensemble.init(jax.random.key(0), 6)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    return ensemble, params, state, jax.random.normal(jax.random.key(1), (7, 6), jnp.float64)


@pytest.mark.parametrize("link", LINKS)
def test_it_predicts_the_mean_of_what_its_members_predict(link):
    ensemble, params, state, x = made(link)
    output, _, _ = ensemble.forward(params, state, x, train=False, key=None, mask=None)
    each = [LINKS[link](s) for s in ensemble.outputs(params, state, x)]
    np.testing.assert_allclose(LINKS[link](output), np.mean(each, axis=0), rtol=1e-13)


@pytest.mark.parametrize(
    ("link", "loss"),
    [
        ("softmax", "softmax_cross_entropy"),
        ("sigmoid", "sigmoid_cross_entropy"),
        ("exp", "poisson"),
        ("identity", "squared_error"),
    ],
)
def test_its_gradient_is_that_of_jax(link, loss):
    ensemble, params, state, x = made(link)
    y = jnp.arange(7) % 3
    if link != "softmax":
        y = jax.random.uniform(jax.random.key(3), (7, 3), jnp.float64)
    chosen: Loss = get_loss(loss)

    def plain(params):
        output, _, _ = ensemble.forward(params, state, x, train=True, key=None, mask=None)
        return jnp.mean(chosen.value(output, y))

    value, grads = value_and_grad(ensemble, chosen)(params, x, y)
    expected, witness = jax.value_and_grad(plain)(params)
    assert float(value) == pytest.approx(float(expected), rel=1e-13)
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(witness), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_its_input_gradient_is_that_of_jax():
    ensemble, params, state, x = made("softmax")
    weights = jax.random.normal(jax.random.key(2), (7, 3), jnp.float64)

    def plain(x):
        output, _, _ = ensemble.forward(params, state, x, train=True, key=None, mask=None)
        return jnp.sum(weights * output)

    _, _, residual = ensemble.forward(params, state, x, train=True, key=None, mask=None)
    grad_x, _ = ensemble.backward(params, residual, weights, need_grad_a=True)
    np.testing.assert_allclose(grad_x, jax.jit(jax.grad(plain))(x), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_it_is_finite_at_extreme_logits(link):
    s = jnp.asarray([[[1e4, -1e4]], [[-1e4, 1e4]]])
    assert jnp.isfinite(mean_output(link, s)).all()
    assert jnp.isfinite(mean_output_gradient(link, s, jnp.ones((1, 2)))).all()


def test_bad_members_and_links_are_refused():
    with pytest.raises(UnknownNameError, match="link 'tanh'"):
        Ensemble(MEMBERS, "tanh")
    with pytest.raises(InputError, match="at least 1 member"):
        Ensemble((), "softmax")
    with pytest.raises(InputError, match="have one width"):
        Ensemble((mlp([2], 3), mlp([2], 4)), "softmax").width_out(5)
