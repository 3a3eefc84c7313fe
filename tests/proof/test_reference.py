"""The index loops against NumPy and against `jax.vjp`: the witness has a witness."""

import math

import dense_loops
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import ACTIVATIONS, LOSSES
from mlp_jax.proof import reference
from mlp_jax.proof.scalars import ACTIVATION_SCALARS, LOSS_SCALARS

N, I, J = 4, 5, 3  # noqa: E741
RNG = np.random.default_rng(0)
A, W, B, GRAD_Z, C = (RNG.normal(size=shape) for shape in ((N, I), (I, J), J, (N, J), N))


def test_the_loops_are_the_matrix_products():
    np.testing.assert_allclose(dense_loops.dense_forward(W, B, A), A @ W + B, rtol=1e-13)
    grad_a, grad_W, grad_b = dense_loops.dense_backward(W, A, GRAD_Z, C)
    np.testing.assert_allclose(grad_a, GRAD_Z @ W.T, rtol=1e-13)
    np.testing.assert_allclose(grad_W, A.T @ (C[:, None] * GRAD_Z), rtol=1e-12)
    np.testing.assert_allclose(grad_b, C @ GRAD_Z, rtol=1e-13)


def test_a_bias_neuron_gives_the_bias_gradient_as_its_last_row():
    wide_W, wide_A = dense_loops.with_bias_neuron(W, B, A)
    zero = np.zeros(J)
    np.testing.assert_allclose(
        dense_loops.dense_forward(wide_W, zero, wide_A),
        dense_loops.dense_forward(W, B, A),
        rtol=1e-13,
    )
    wide = dense_loops.dense_backward(wide_W, wide_A, GRAD_Z, C)
    apart = dense_loops.dense_backward(W, A, GRAD_Z, C)
    np.testing.assert_allclose(wide[1], np.vstack([apart[1], apart[2][None, :]]), rtol=1e-13)
    np.testing.assert_allclose(wide[0][:, :-1], apart[0], rtol=1e-13)


def test_both_notations_are_one_layer():
    np.testing.assert_allclose(
        dense_loops.column_forward(W.T, B, A[0]), dense_loops.dense_forward(W, B, A)[0], rtol=1e-13
    )
    grad_a, grad_W, grad_b = dense_loops.column_backward(W.T, A[0], GRAD_Z[0])
    rows = dense_loops.dense_backward(W, A[:1], GRAD_Z[:1], np.ones(1))
    np.testing.assert_allclose(grad_a, rows[0][0], rtol=1e-13)
    np.testing.assert_allclose(grad_W, rows[1].T, rtol=1e-13)
    np.testing.assert_allclose(grad_b, rows[2], rtol=1e-13)


@pytest.mark.parametrize("norm", ["layer", "rms", "batch"])
def test_the_norms_jacobian_sums_are_the_vjp(norm):
    scale, epsilon = RNG.normal(size=I), 1e-3
    grad_y = RNG.normal(size=(N, I))

    def forward(a):
        axis = 0 if norm == "batch" else 1
        mean = 0.0 if norm == "rms" else jnp.mean(a, axis, keepdims=True)
        sigma = jnp.sqrt(jnp.mean((a - mean) ** 2, axis, keepdims=True) + epsilon)
        return scale[None, :] * (a - mean) / sigma

    with jax.enable_x64(True):
        expected = np.asarray(jax.vjp(forward, jnp.asarray(A))[1](jnp.asarray(grad_y))[0])
    if norm == "batch":
        ours = [
            [
                reference.batch_norm_grad_a_entry(
                    A[:, i], scale[i], grad_y[:, i], n, epsilon=epsilon
                )
                for i in range(I)
            ]
            for n in range(N)
        ]
    else:
        ours = [
            [
                reference.layer_norm_grad_a_entry(
                    A[n], scale, grad_y[n], i, epsilon=epsilon, centred=norm == "layer"
                )
                for i in range(I)
            ]
            for n in range(N)
        ]
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_scalar_slope_is_the_difference_quotient_of_its_function(name):
    f, slope = ACTIVATION_SCALARS[name]
    for z in (-3.7, -2.2, -0.8, 0.4, 1.7, 2.9, 6.8):
        h = 1e-5
        assert math.isclose(slope(z), (f(z + h) - f(z - h)) / (2 * h), rel_tol=1e-8, abs_tol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_each_scalar_loss_slope_is_the_difference_quotient_of_its_loss(name):
    value, slope = LOSS_SCALARS[name]
    s, h = [0.3, -1.2, 2.1], 1e-5
    kind = LOSSES[name].targets
    targets = {"real": [[1.0, 0.2, -0.5]], "binary": [[1.0, 0.0, 1.0]], "classes": [1]}[kind]
    if name == "softmax_cross_entropy":
        targets = [1, [0.2, 0.5, 0.3]]
    if name in ("hinge", "focal"):
        targets = [1, [1.0, 0.0, 1.0]]
    for y in targets:
        for k in range(3):
            up, down = ([v + (j == k) * step for j, v in enumerate(s)] for step in (h, -h))
            quotient = (value(up, y) - value(down, y)) / (2 * h)
            assert math.isclose(slope(s, y, k), quotient, rel_tol=1e-8, abs_tol=1e-9)
