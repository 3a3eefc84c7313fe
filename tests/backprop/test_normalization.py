"""Layer norm, RMS norm and batch norm against NumPy, `jax.vjp`, and each other."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import BatchNorm, LayerNorm, RMSNorm, contract

N, J = 6, 4
MASK = np.array([True, True, False, True, True, False])
EPSILON = 1e-5
NORMS = {"layer": LayerNorm(), "rms": RMSNorm(), "batch": BatchNorm()}


def drawn(n=N, j=J, seed=0):
    """a, ∇y (N, J), γ, β (J,), away from 1 and 0, and running statistics."""
    rng = np.random.default_rng(seed)
    a, grad_y = rng.normal(0.5, 2, (n, j)), rng.normal(size=(n, j))
    scale, shift = rng.normal(1, 0.5, j), rng.normal(size=j)
    state = {"mean": rng.normal(size=j), "variance": rng.uniform(0.5, 2, j)}
    return jax.tree.map(jnp.asarray, (a, grad_y, {"scale": scale, "shift": shift}, state))


def own(norm, params):
    return params if not isinstance(norm, RMSNorm) else {"scale": params["scale"]}


def by_numpy(name, a, params, statistics=None):
    """y as a text on the subject writes it; `statistics`: (mean, variance) of batch norm."""
    a, scale, shift = (np.asarray(v) for v in (a, params["scale"], params["shift"]))
    if name == "rms":
        return scale * a / np.sqrt(np.mean(a**2, axis=1, keepdims=True) + EPSILON)
    axis = 1 if name == "layer" else 0
    mean, variance = statistics or (a.mean(axis, keepdims=True), a.var(axis, keepdims=True))
    return scale * (a - mean) / np.sqrt(variance + EPSILON) + shift


@partial(jax.jit, static_argnums=(0, 1))
def both_passes(norm, train, params, state, a, grad_y, mask):
    """(y, state, ∇a, ∇γ and ∇β) by hand, and (∇γ and ∇β, ∇a) by `jax.vjp` of the forward."""

    def forward(params, a):
        return norm.forward(params, state, a, train=train, key=None, mask=mask)

    y, new_state, residual = forward(params, a)
    grad_a, records = norm.backward(params, residual, grad_y, need_grad_a=True)
    by_jax = jax.vjp(lambda params, a: forward(params, a)[0], params, a)[1](grad_y)
    return y, new_state, (contract(records, None), grad_a), by_jax


def run(norm, a, grad_y, params, state=(), *, train=True, mask=None):
    state = state if isinstance(norm, BatchNorm) else ()
    return both_passes(norm, train, own(norm, params), state, a, grad_y, mask)


@pytest.mark.parametrize("name", NORMS)
def test_forward_is_the_formula_and_backward_is_the_vjp(name, x64):
    a, grad_y, params, state = drawn()
    y, _, ours, by_jax = run(NORMS[name], a, grad_y, params, state)
    assert_agree(y, by_numpy(name, a, params))
    assert_agree(ours, by_jax)


@pytest.mark.parametrize("name", NORMS)
def test_in_float32_the_backward_pass_is_the_vjp(name):
    a, grad_y, params, state = drawn()
    assert a.dtype == jnp.float32
    _, _, ours, by_jax = run(NORMS[name], a, grad_y, params, state)
    assert_agree(ours, by_jax, "float32")


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_the_norm_of_one_example_does_not_look_at_the_others(name, x64):
    a, grad_y, params, _ = drawn()
    together = run(NORMS[name], a, grad_y, params)
    apart = run(NORMS[name], a[2:3], grad_y[2:3], params)
    assert_agree(together[0][2:3], apart[0])
    assert_agree(together[2][1][2:3], apart[2][1])


def test_inference_uses_the_running_figures_and_leaves_them(x64):
    a, grad_y, params, state = drawn()
    y, new_state, ours, by_jax = run(BatchNorm(), a, grad_y, params, state, train=False)
    figures = np.asarray(state["mean"]), np.asarray(state["variance"])
    assert_agree(y, by_numpy("batch", a, params, figures))
    assert_agree(ours, by_jax)
    assert_agree(new_state, state)


def test_training_moves_the_running_figures_a_tenth_of_the_way(x64):
    a, grad_y, params, state = drawn()
    _, moved, _, _ = run(BatchNorm(), a, grad_y, params, state)
    expected = {
        "mean": 0.9 * state["mean"] + 0.1 * np.mean(a, axis=0),
        "variance": 0.9 * state["variance"] + 0.1 * np.var(a, axis=0),
    }
    assert_agree(moved, expected)
    _, moved, _, _ = run(BatchNorm(momentum=0.0), a, grad_y, params, state)
    assert_agree(moved, {"mean": np.mean(a, axis=0), "variance": np.var(a, axis=0)})


def test_batch_norm_with_a_mask_is_batch_norm_of_the_unmasked_rows_alone(x64):
    """Padding rows get no gradient from the loss: their ∇y is 0."""
    a, grad_y, params, state = drawn()
    a = jnp.where(MASK[:, None], a, 1e3 * a)
    grad_y = jnp.where(MASK[:, None], grad_y, jnp.zeros_like(grad_y))
    y, moved, (sums, grad_a), by_jax = run(
        BatchNorm(), a, grad_y, params, state, mask=jnp.asarray(MASK)
    )
    alone = run(BatchNorm(), a[MASK], grad_y[MASK], params, state)
    assert_agree(y[MASK], alone[0])
    share = 0.1 * MASK.mean()
    rows = np.asarray(a)[MASK]
    assert_agree(moved["mean"], (1 - share) * state["mean"] + share * rows.mean(axis=0))
    assert_agree(moved["variance"], (1 - share) * state["variance"] + share * rows.var(axis=0))
    assert_agree((sums, grad_a[MASK]), alone[2])
    assert np.all(np.asarray(grad_a)[~MASK] == 0)
    assert_agree((sums, grad_a), by_jax)


@pytest.mark.parametrize("rows", [0, 1, N])
def test_a_short_batch_moves_the_running_figures_by_its_share_of_a_full_one(rows, x64):
    """None of them without a row, and as a batch without a mask where every place holds one."""
    a, grad_y, params, state = drawn()
    _, moved, _, _ = run(BatchNorm(), a, grad_y, params, state, mask=jnp.arange(N) < rows)
    share, there = 0.1 * rows / N, np.asarray(a)[: max(rows, 1)]
    expected = {
        "mean": (1 - share) * state["mean"] + share * there.mean(axis=0),
        "variance": (1 - share) * state["variance"] + share * there.var(axis=0),
    }
    assert_agree(moved, expected)


def test_even_a_padding_row_that_the_loss_sees_gets_the_vjp(x64):
    a, grad_y, params, state = drawn()
    _, _, ours, by_jax = run(BatchNorm(), a, grad_y, params, state, mask=jnp.asarray(MASK))
    assert_agree(ours, by_jax)


@pytest.mark.parametrize("name", NORMS)
def test_constant_features_and_examples_stay_finite(name, x64):
    a, grad_y, params, state = drawn()
    for constant in (a.at[:, 1].set(3.0), a.at[2].set(3.0), jnp.full_like(a, 3.0), 0 * a):
        y, _, ours, by_jax = run(NORMS[name], constant, grad_y, params, state)
        assert np.all(np.isfinite(y))
        assert_agree(ours, by_jax, size=float(jnp.linalg.norm(grad_y)) / EPSILON**0.5)


def test_a_constant_feature_is_normalized_to_the_shift(x64):
    a, grad_y, params, state = drawn()
    y = run(BatchNorm(), a.at[:, 1].set(3.0), grad_y, params, state)[0]
    np.testing.assert_allclose(y[:, 1], np.full(N, params["shift"][1]), rtol=1e-12)


@pytest.mark.parametrize("name", NORMS)
def test_width_1_and_a_batch_of_1_agree_with_the_vjp(name, x64):
    for n, j in ((N, 1), (1, J), (1, 1)):
        a, grad_y, params, state = drawn(n, j)
        y, _, ours, by_jax = run(NORMS[name], a, grad_y, params, state)
        assert_agree(y, by_numpy(name, a, params))
        assert_agree(ours, by_jax, size=float(jnp.linalg.norm(grad_y)))


def test_layer_norm_of_width_1_gives_the_shift_and_lets_no_gradient_through(x64):
    a, grad_y, params, _ = drawn(j=1)
    y, _, (sums, grad_a), _ = run(LayerNorm(), a, grad_y, params)
    assert_agree(y, np.tile(params["shift"], (N, 1)))
    np.testing.assert_array_equal(grad_a, np.zeros((N, 1)))
    np.testing.assert_array_equal(sums["scale"], [0.0])


@pytest.mark.parametrize("name", NORMS)
def test_bfloat16_is_normalized_in_float32_and_handed_on_in_bfloat16(name):
    a, grad_y, params, state = drawn()
    low = a.astype(jnp.bfloat16)
    y, _, (sums, grad_a), _ = run(NORMS[name], low, grad_y.astype(jnp.bfloat16), params, state)
    assert y.dtype == jnp.bfloat16
    assert {str(v.dtype) for v in [grad_a, *sums.values()]} == {"float32"}
    assert_agree(y, by_numpy(name, low.astype(jnp.float32), params), "bfloat16")


@pytest.mark.parametrize("name", NORMS)
def test_the_input_gradient_is_left_out_where_nobody_asks(name):
    a, grad_y, params, state = drawn()
    norm = NORMS[name]
    _, _, residual = norm.forward(own(norm, params), state, a, train=True, key=None, mask=None)
    grad_a, records = norm.backward(own(norm, params), residual, grad_y, need_grad_a=False)
    assert grad_a is None
    assert set(records) == set(own(norm, params))


@pytest.mark.parametrize("name", NORMS)
def test_initial_parameters_are_scale_1_and_shift_0(name):
    norm = NORMS[name]
    params, state = norm.init(jax.random.key(0), 3)
    expected = {"scale": np.ones(3), "shift": np.zeros(3)}
    assert_agree(params, own(norm, expected))
    assert norm.has_state == norm.couples_examples == (name == "batch")
    if norm.has_state:
        assert_agree(state, {"mean": np.zeros(3), "variance": np.ones(3)})
    else:
        assert state == ()
    assert norm.width_out(3) == 3


def test_epsilon_is_added_to_the_variance(x64):
    """a = (1, −1): variance 1, so with ε = 3 x̂ = a/2; RMS norm the same."""
    a = jnp.asarray([[1.0, -1.0]])
    params = {"scale": jnp.ones(2), "shift": jnp.zeros(2)}
    for norm in (LayerNorm(epsilon=3.0), RMSNorm(epsilon=3.0)):
        np.testing.assert_allclose(run(norm, a, a, params)[0], [[0.5, -0.5]], rtol=1e-15)
    column = dataclasses.replace(BatchNorm(), epsilon=3.0)
    params = {"scale": jnp.ones(1), "shift": jnp.zeros(1)}
    state = {"mean": jnp.zeros(1), "variance": jnp.ones(1)}
    y = run(column, a.T, a.T, params, state)[0]
    np.testing.assert_allclose(y, [[0.5], [-0.5]], rtol=1e-15)
