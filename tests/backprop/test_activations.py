"""Every activation and its slope: against `jax.grad`, against plain numbers, and at the edges."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import ACTIVATIONS, INITIALIZERS
from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.dense import activate, slope_times
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.proof.scalars import ACTIVATION_SCALARS

JAX_FUNCTIONS = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu6": jax.nn.relu6,
    "squared_relu": lambda z: jnp.square(jax.nn.relu(z)),
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "gelu": jax.nn.gelu,
    "gelu_exact": lambda z: jax.nn.gelu(z, approximate=False),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "tanh": jnp.tanh,
    "hard_tanh": jax.nn.hard_tanh,
    "sigmoid": jax.nn.sigmoid,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "log_sigmoid": jax.nn.log_sigmoid,
}
# f'(−∞) and f'(∞), for where JAX's own slope is NaN.
LIMITS = {
    "gelu": (0, 1),
    "gelu_exact": (0, 1),
    "silu": (0, 1),
    "mish": (0, 1),
    "squared_relu": (0, math.inf),
}
FAR = [100, -100, 1e4, -1e4, 1e10, -1e10]
EDGES = np.array([0.0, -0.0, 1, -1, 3, -3, 6, -6, *FAR, np.nan, np.inf, -np.inf])
NAMES = sorted(ACTIVATIONS)
POINTS = np.random.default_rng(0).normal(scale=3, size=80)


def test_the_table_and_its_witnesses_name_the_same_functions():
    assert set(ACTIVATIONS) == set(JAX_FUNCTIONS) == set(ACTIVATION_SCALARS)


def test_every_activation_names_an_initializer_that_there_is():
    assert {f.initializer for f in ACTIVATIONS.values()} <= set(INITIALIZERS)


def computed(z, products):
    """{name: (f(z), f'(z) from what is kept, f'(z) by JAX)}, the kept a in the type `products`."""

    def all_of_them(z):
        found = {}
        for name in NAMES:
            a, kept = activate(name, z[:, None], products)
            slope = slope_times(name, kept, jnp.ones_like(z)[:, None])
            found[name] = a[:, 0], slope[:, 0], jax.vmap(jax.grad(JAX_FUNCTIONS[name]))(z)
        return found

    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.device_get(jax.jit(all_of_them, compiler_options=quick)(z))


@pytest.fixture(scope="module")
def at_points():
    with jax.enable_x64(True):
        return computed(jnp.asarray(POINTS), jnp.float64)


@pytest.fixture(scope="module")
def at_edges():
    """In float32, {name: {z: (f, slope, slope by JAX)}}."""
    found = computed(jnp.asarray(EDGES, jnp.float32), jnp.float32)
    return {
        name: [tuple(map(float, row)) for row in zip(EDGES, *rows, strict=True)]
        for name, rows in found.items()
    }


@pytest.fixture(scope="module")
def in_bfloat16():
    return computed(jnp.asarray(POINTS, jnp.float32), jnp.bfloat16)


@pytest.mark.parametrize("name", NAMES)
def test_function_and_slope_are_right_in_float64(name, at_points):
    a, slope, by_jax = at_points[name]
    f, f_slope = ACTIVATION_SCALARS[name]
    assert a.dtype == slope.dtype == np.float64
    np.testing.assert_allclose(a, [f(float(v)) for v in POINTS], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(slope, [f_slope(float(v)) for v in POINTS], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(slope, by_jax, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_at_kinks_and_edges_is_the_one_of_jax(name, at_edges):
    """Where JAX's slope is NaN at infinity, ours is NaN or the limit."""
    for z, _, slope, by_jax in at_edges[name]:
        if math.isnan(z) and math.isnan(slope):
            continue
        if math.isinf(z) and math.isnan(by_jax):
            assert math.isnan(slope) or slope == LIMITS[name][z > 0], (z, slope)
            continue
        np.testing.assert_allclose(slope, by_jax, rtol=1e-6, atol=1e-6, err_msg=f"at {z}")


@pytest.mark.parametrize("name", NAMES)
def test_function_and_slope_are_finite_wherever_z_is(name, at_edges):
    values = [row for row in at_edges[name] if math.isfinite(row[0])]
    assert len(values) == 14
    assert np.all(np.isfinite(values))


@pytest.mark.parametrize(
    ("name", "z", "slope"),
    [
        ("relu", 0.0, 0.0),
        ("leaky_relu", 0.0, 1.0),
        ("relu6", 0.0, 0.0),
        ("relu6", 6.0, 0.0),
        ("hard_sigmoid", -3.0, 0.0),
        ("hard_sigmoid", 3.0, 0.0),
        ("hard_tanh", -1.0, 1.0),
        ("hard_tanh", 1.0, 1.0),
        ("squared_relu", 0.0, 0.0),
        ("elu", 0.0, 1.0),
        ("softsign", 0.0, 1.0),
        ("leaky_relu", -100.0, 0.01),
        ("tanh", 100.0, 0.0),
        ("softplus", -100.0, 0.0),
        ("log_sigmoid", -100.0, 1.0),
        ("gelu", -100.0, 0.0),
        ("mish", -100.0, 0.0),
    ],
)
def test_the_slope_at_a_kink_or_far_out_is_the_known_number(name, z, slope, at_edges):
    (found, *_) = [row[2] for row in at_edges[name] if row[0] == z]
    np.testing.assert_allclose(found, slope, rtol=1e-7, atol=1e-30)


@pytest.mark.parametrize("name", NAMES)
def test_types_are_preserved(name):
    f = ACTIVATIONS[name]
    for dtype in (jnp.bfloat16, jnp.float32):
        z = jax.ShapeDtypeStruct((3,), dtype)
        assert jax.eval_shape(f.function, z).dtype == dtype
        assert jax.eval_shape(f.slope, z).dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_for_the_slope_is_what_the_table_says(name):
    z = jnp.ones((3, 2))
    a, kept = activate(name, z, jnp.float32)
    assert kept is {"a": a, "z": z, "nothing": None}[ACTIVATIONS[name].keeps]


@pytest.mark.parametrize("name", NAMES)
def test_slopes_after_bfloat16_products_are_off_by_bfloat16_rounding_at_most(name, in_bfloat16):
    """Where the slope is written in a, a is kept in bfloat16: 2⁻⁹ of its size, twice over."""
    a, slope, by_jax = in_bfloat16[name]
    assert a.dtype == jnp.bfloat16
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, by_jax, rtol=0, atol=2**-8)


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownNameError) as raised:
        get_activation("rellu")
    message = str(raised.value)
    assert "Unknown activation 'rellu'. Did you mean 'relu'?" in message
    assert all(name in message for name in ACTIVATIONS)
    assert isinstance(raised.value, InputError | ValueError)


def test_a_name_like_no_other_gets_the_list_without_a_guess():
    with pytest.raises(UnknownNameError) as raised:
        get_activation("qqqq")
    assert "Did you mean" not in str(raised.value)
    assert "tanh" in str(raised.value)
