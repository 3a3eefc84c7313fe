"""The four equations of the dense layer, each alone, against `jax.vjp` and against loops."""

import dense_loops
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop.layer import (
    accumulator,
    grad_bias,
    grad_input,
    grad_pre_activation,
    grad_weight,
    pre_activation,
)

SHAPES = [(7, 5, 3), (1, 4, 1)]
N, I, J = SHAPES[0]  # noqa: E741


def drawn(n, i, j, seed=0):
    """a (N, I), W (I, J), b (J,), ∇z (N, J), c (N,) with a zero in it where N > 1."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(0.1, 2, n)
    c[1:2] = 0
    return (*(rng.normal(size=shape) for shape in ((n, i), (i, j), (j,), (n, j))), c)


def linear(W, b, a):
    """The forward equation as anybody would write it: the witness's own."""
    return a @ W + b[None, :]


@pytest.fixture(params=SHAPES, ids=str)
def case(request, x64):
    return tuple(jnp.asarray(v) for v in drawn(*request.param))


def test_z_is_the_sum_over_inputs_plus_the_bias(case):
    a, W, b, _, _ = case
    by_loops = dense_loops.dense_forward(*(np.asarray(v) for v in (W, b, a)))
    assert_agree(pre_activation(W, b, a), by_loops)
    assert_agree(pre_activation(W, None, a), by_loops - np.asarray(b))


def test_equation_1_is_the_vjp_of_an_elementwise_function(case):
    grad_a_next, z = case[3], 2 * case[3][::-1] + 0.3
    (expected,) = jax.vjp(jnp.sin, z)[1](grad_a_next)
    assert_agree(grad_pre_activation(grad_a_next, jnp.cos(z)), expected)


def test_equation_2_is_the_vjp_in_the_input(case):
    a, W, b, grad_z, _ = case
    (expected,) = jax.vjp(lambda a: linear(W, b, a), a)[1](grad_z)
    assert_agree(grad_input(W, grad_z), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_equation_3_is_the_vjp_in_the_weights(case, weighted):
    a, W, b, grad_z, c = case
    cotangent = c[:, None] * grad_z if weighted else grad_z
    (expected,) = jax.vjp(lambda W: linear(W, b, a), W)[1](cotangent)
    assert_agree(grad_weight(a, grad_z, c if weighted else None), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_bias_gradient_is_the_vjp_in_the_bias(case, weighted):
    a, W, b, grad_z, c = case
    cotangent = c[:, None] * grad_z if weighted else grad_z
    (expected,) = jax.vjp(lambda b: linear(W, b, a), b)[1](cotangent)
    assert_agree(grad_bias(grad_z, c if weighted else None), expected)


def test_the_backward_equations_equal_the_index_loops_in_every_entry(case):
    a, W, _, grad_z, c = case
    expected = dense_loops.dense_backward(*(np.asarray(v) for v in (W, a, grad_z, c)))
    ours = grad_input(W, grad_z), grad_weight(a, grad_z, c), grad_bias(grad_z, c)
    assert_agree(ours, expected)


def test_one_example_has_the_outer_product_a_times_grad_z_by_hand():
    a, grad_z = jnp.asarray([[2.0, -3.0]]), jnp.asarray([[5.0, 7.0, -1.0]])
    W = jnp.asarray([[1.0, 0.0, 2.0], [0.0, -1.0, 4.0]])
    np.testing.assert_array_equal(grad_weight(a, grad_z), [[10.0, 14.0, -2.0], [-15.0, -21.0, 3.0]])
    # W∇z = (1·5 + 2·(−1), −1·7 + 4·(−1)); z = Wᵀa = (2, 3, 4 − 12).
    np.testing.assert_array_equal(grad_input(W, grad_z), [[3.0, -11.0]])
    np.testing.assert_array_equal(pre_activation(W, None, a), [[2.0, 3.0, -8.0]])
    np.testing.assert_array_equal(grad_bias(grad_z), grad_z[0])


def test_no_weights_means_that_every_example_counts_once(case):
    a, _, _, grad_z, c = case
    assert_agree(grad_weight(a, grad_z), grad_weight(a, grad_z, jnp.ones_like(c)))
    assert_agree(grad_bias(grad_z), grad_bias(grad_z, jnp.ones_like(c)))


def test_an_example_of_weight_zero_leaves_no_trace(x64):
    a, _, _, grad_z, c = map(jnp.asarray, drawn(N, I, J))
    assert c[1] == 0
    other = a.at[1].set(1e3), grad_z.at[1].set(-1e3)
    np.testing.assert_array_equal(grad_weight(*other, c), grad_weight(a, grad_z, c))
    np.testing.assert_array_equal(grad_bias(other[1], c), grad_bias(grad_z, c))


def test_zero_weights_stop_the_gradient_to_the_input_but_not_to_the_weights(x64):
    a, W, b, grad_z, c = map(jnp.asarray, drawn(N, I, J))
    zero = jnp.zeros_like(W)
    np.testing.assert_array_equal(pre_activation(zero, b, a), np.tile(b, (N, 1)))
    np.testing.assert_array_equal(grad_input(zero, grad_z), np.zeros((N, I)))
    (expected,) = jax.vjp(lambda W: linear(W, b, a), zero)[1](c[:, None] * grad_z)
    assert np.all(expected != 0)
    assert_agree(grad_weight(a, grad_z, c), expected)


def test_the_gradient_is_adjoint_to_the_change_that_it_carries_back(x64):
    """dE = ⟨∇z, dz⟩ = ⟨∇a, da⟩ + ⟨∇W, dW⟩ + ⟨∇b, db⟩ for any change (da, dW, db)."""
    a, W, _, grad_z, _ = map(jnp.asarray, drawn(N, I, J))
    da, dW, db, _, _ = map(jnp.asarray, drawn(N, I, J, seed=1))
    dz = da @ W + a @ dW + db[None, :]
    back = (
        jnp.vdot(grad_input(W, grad_z), da)
        + jnp.vdot(grad_weight(a, grad_z), dW)
        + jnp.vdot(grad_bias(grad_z), db)
    )
    assert_agree(back, jnp.vdot(grad_z, dz))


def test_bfloat16_is_summed_in_float32():
    a, W, b, grad_z, c = (jnp.asarray(v, jnp.bfloat16) for v in drawn(N, I, J))
    c = c.astype(jnp.float32)
    assert accumulator(a) == jnp.float32
    sums = [
        pre_activation(W, None, a),
        pre_activation(W, b.astype(jnp.float32), a),
        grad_input(W, grad_z),
        grad_weight(a, grad_z, c),
        grad_bias(grad_z, c),
        grad_bias(grad_z),
    ]
    assert {str(v.dtype) for v in sums} == {"float32"}


def test_float64_is_summed_in_float64(x64):
    a, W, b, grad_z, c = map(jnp.asarray, drawn(N, I, J))
    sums = [pre_activation(W, b, a), grad_input(W, grad_z), grad_weight(a, grad_z, c)]
    assert {str(v.dtype) for v in [*sums, grad_bias(grad_z), grad_bias(grad_z, c)]} == {"float64"}


def test_a_bfloat16_sum_of_a_thousand_ones_is_a_thousand():
    """bfloat16 itself counts no further than 256, where the spacing becomes 2."""
    tall, wide = jnp.ones((1001, 1), jnp.bfloat16), jnp.ones((1, 1001), jnp.bfloat16)
    one = jnp.ones(1, jnp.float32)
    assert pre_activation(tall, one, wide)[0, 0] == 1002
    assert grad_input(wide, wide)[0, 0] == 1001
    assert grad_weight(tall, tall)[0, 0] == 1001
    assert grad_bias(tall)[0] == 1001
    assert grad_bias(tall, jnp.ones(1001, jnp.float32))[0] == 1001


def test_the_bias_is_the_weight_of_a_neuron_that_is_always_1(x64):
    a, W, b, grad_z, c = drawn(N, I, J)
    wide_W, wide_a = map(jnp.asarray, dense_loops.with_bias_neuron(W, b, a))
    a, W, b, grad_z, c = map(jnp.asarray, (a, W, b, grad_z, c))
    assert_agree(pre_activation(wide_W, None, wide_a), pre_activation(W, b, a))
    joint = grad_weight(wide_a, grad_z, c)
    assert_agree((joint[:-1], joint[-1]), (grad_weight(a, grad_z, c), grad_bias(grad_z, c)))
    assert_agree(grad_input(wide_W, grad_z)[:, :-1], grad_input(W, grad_z))


def test_the_column_notation_gives_the_transposes_of_the_row_notation(x64):
    """With W (n_out, n_in): z = W a + b, ∇a = Wᵀ∇z, ∇W = ∇z aᵀ; both against JAX."""
    a, W, b, grad_z, _ = drawn(1, I, J)
    column_a, column_W, column_z = a[0], W.T, grad_z[0]
    z, pull_back = jax.vjp(lambda W, b, a: W @ a + b, *map(jnp.asarray, (column_W, b, column_a)))
    expected_W, expected_b, expected_a = pull_back(jnp.asarray(column_z))
    assert_agree(dense_loops.column_forward(column_W, b, column_a), z)
    ours = dense_loops.column_backward(column_W, column_a, column_z)
    assert_agree(ours, (expected_a, expected_W, expected_b))
    a, W, b, grad_z = map(jnp.asarray, (a, W, b, grad_z))
    assert_agree(pre_activation(W, b, a)[0], z)
    assert_agree(grad_input(W, grad_z)[0], expected_a)
    assert_agree(grad_weight(a, grad_z), expected_W.T)
    assert_agree(grad_bias(grad_z), expected_b)
