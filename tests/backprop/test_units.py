"""Dead and saturated units, and norms, against NumPy on rows written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop.activations import ACTIVATIONS
from mlp_jax.backprop.units import active_units, mean_square_norm, saturated_share

COUNTED = jnp.asarray([True, True, False])


def test_a_unit_that_is_0_on_every_counted_example_is_dead():
    a = jnp.asarray([[0.0, 1, 0, -0.0], [0, 0, 0, 0], [5, 5, 0, 0]])
    assert active_units(a).tolist() == [True, True, False, False]
    assert active_units(a, COUNTED).tolist() == [False, True, False, False]


def test_the_bounded_activations_are_saturated_at_their_bounds():
    z = jnp.asarray([[0.0, 2.9, 3.1, -3.1], [0, 0, 9, 0], [9, 9, 9, 9]])
    for name, limit in (("tanh", np.arctanh(np.sqrt(0.99))), ("sigmoid", 4.585)):
        beyond = np.abs(np.asarray(z)) > limit
        assert saturated_share(name, z) == pytest.approx(beyond.mean())
        assert saturated_share(name, z, COUNTED) == pytest.approx(beyond[:2].mean())
    edges = jnp.asarray([[-1.5, 0.5, 1.5, 0.0]])
    assert saturated_share("hard_tanh", edges) == 0.5


def test_flat_below_0_is_no_saturation_of_a_rectifier_but_of_the_smooth_ones():
    z = jnp.asarray([[-20.0, -20, 1, 7]])
    for name in ("relu", "squared_relu", "leaky_relu", "identity"):
        assert saturated_share(name, z) == 0, name
    assert saturated_share("relu6", z) == 0.25
    for name in ("gelu", "gelu_exact", "silu", "mish", "softplus", "elu", "selu", "celu"):
        assert saturated_share(name, z) == 0.5, name


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_saturated_lets_less_than_a_hundredth_through_by_jax_grad(name):
    z = jnp.linspace(-12, 12, 97) + 0.01
    slopes = np.asarray(jax.jit(jax.vmap(jax.grad(ACTIVATIONS[name].function)))(z))
    flat = np.abs(slopes) < 0.01
    if name in ("relu", "relu6", "squared_relu"):
        flat &= np.asarray(z) > 0
    assert saturated_share(name, z[:, None]) == pytest.approx(flat.mean())


def test_the_mean_of_the_squared_norms_leaves_padding_out():
    rows = jnp.asarray([[3.0, 4], [0, 1], [100, 100]])
    assert mean_square_norm(rows) == pytest.approx((25 + 1 + 20000) / 3)
    assert mean_square_norm(rows, COUNTED) == 13
