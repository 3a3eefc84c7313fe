import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import assert_close, batches, initial_params, labelled, tanh_cross_entropy

from mlp_jax.backprop import BatchNorm, Dense, Sequential
from mlp_jax.errors import InputError
from mlp_jax.training import fit
from mlp_jax.training.optim.optimizers import Optimizer, project_columns

CE = "softmax_cross_entropy"
TANH = Sequential((Dense(6, "tanh"), Dense(3)))
BOUND = 1.2


def projected(W):
    """Column by column, one number at a time."""
    W = np.array(W, np.float64)
    for j in range(W.shape[1]):
        length = np.sqrt(sum(W[i, j] ** 2 for i in range(W.shape[0])))
        if length > BOUND:
            W[:, j] = [w * BOUND / length for w in W[:, j]]
    return W


def walked_plainly(x, y, rate, *, size, epochs):
    """Gradient descent by `jax.grad`, and after each step the columns by NumPy."""
    params, gradient = initial_params(TANH, 7, 4), jax.jit(jax.grad(tanh_cross_entropy))
    for epoch in range(1, epochs + 1):
        for rows in batches(len(x), size, 7, epoch):
            grads = gradient(params, jnp.asarray(x[rows], jnp.float64), jnp.asarray(y[rows]))
            params = [
                {
                    "W": projected(layer["W"] - rate * grad["W"]),
                    "b": np.asarray(layer["b"] - rate * grad["b"]),
                }
                for layer, grad in zip(params, grads, strict=True)
            ]
    return params


@pytest.mark.usefixtures("unproved", "optax_promotes")
def test_the_trajectory_is_that_of_a_plain_loop_that_projects_each_column(x64):
    x, y = labelled(23)
    how = {"epochs": 3, "batch_size": 5, "seed": 7, "precision": "float64"}
    fitted = fit(TANH, CE, Optimizer("sgd", 0.5, max_norm=BOUND), (x, y), **how)
    expected = walked_plainly(x, y, 0.5, size=5, epochs=3)
    norms = np.concatenate([np.linalg.norm(layer["W"], axis=0) for layer in expected])
    assert (norms > BOUND - 1e-9).any()
    assert (norms < BOUND - 1e-3).any()
    assert_close(fitted.params, expected, 1e-12)


@pytest.mark.usefixtures("unproved", "optax_promotes")
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon", "lamb", "kfac"])
def test_after_every_step_no_unit_has_longer_incoming_weights_than_the_bound(name):
    x, y = labelled(40)
    norms = []

    def look(end):
        for layer in end.state.params:
            norms.append(np.linalg.norm(np.asarray(layer["W"], np.float64), axis=0))

    optimizer = Optimizer(name, 1.0, max_norm=BOUND)
    fit(TANH, CE, optimizer, (x, y), epochs=6, batch_size=40, callbacks=[look])
    assert len(norms) == 12
    assert np.concatenate(norms).max() <= BOUND * (1 + 1e-6)
    assert np.concatenate(norms).max() == pytest.approx(BOUND, rel=1e-6)


def test_what_is_no_weight_of_a_unit_is_untouched():
    params = {
        "W": jnp.full((3, 2), 5.0),
        "b": jnp.full((2,), 5.0),
        "scale": jnp.full((2,), 5.0),
        "embedding_0": jnp.full((4, 3), 5.0),
    }
    rule = project_columns(BOUND)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = rule.update(ones, rule.init(params), params)
    moved = optax.apply_updates(params, updates)
    np.testing.assert_allclose(np.linalg.norm(moved["W"], axis=0), BOUND, rtol=1e-6)
    assert all((moved[name] == 6.0).all() for name in ("b", "scale", "embedding_0"))


def test_columns_of_zeros_and_short_ones_stay_as_they_are():
    W = jnp.asarray([[0.0, 0.3], [0.0, -0.4]])
    rule = project_columns(BOUND)
    updates, _ = rule.update({"W": jnp.zeros_like(W)}, rule.init({"W": W}), {"W": W})
    np.testing.assert_array_equal(updates["W"], 0.0)


@pytest.mark.usefixtures("unproved", "optax_promotes")
def test_the_average_of_the_weights_keeps_the_bound_too():
    x, y = labelled(40)
    network = Sequential((Dense(6, bias=False), BatchNorm(), Dense(3)))
    optimizer = Optimizer("sgd", 1.0, max_norm=BOUND)
    fitted = fit(network, CE, optimizer, (x, y), epochs=20, batch_size=10, average=0.9)
    for index in (0, 2):
        norms = np.linalg.norm(np.asarray(fitted.params[index]["W"], np.float64), axis=0)
        assert norms.max() <= BOUND * (1 + 1e-6)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_that_cannot_be_is_refused(bound):
    with pytest.raises(InputError, match=f"norm of weights must be positive, not {bound}"):
        Optimizer(max_norm=bound)


def test_lbfgs_refuses_a_bound():
    with pytest.raises(InputError, match="lbfgs finds its step sizes"):
        Optimizer("lbfgs", max_norm=1.0).build(10)
