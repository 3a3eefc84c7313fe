"""Every activation and its slope: against `jax.grad`, against plain numbers, and at the edges."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_expit, ndtr

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
    with jax.enable_x64(True):  # JAX's own slope of gelu has lost digits in float32
        by_jax = {name: rows[2] for name, rows in computed(jnp.asarray(EDGES), jnp.float64).items()}
    return {
        name: [tuple(map(float, row)) for row in zip(EDGES, *rows[:2], by_jax[name], strict=True)]
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


SIZES = np.concatenate([10.0 ** np.arange(-30, 38.5, 0.5), np.linspace(0.05, 30, 120), [3e38]])
GRID = np.concatenate([-SIZES, [0.0], SIZES]).astype(np.float32)


def gelu_argument(z):
    """2u of gelu's ½(1 + tanh u), held where tanh is ±1 long since."""
    return 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * np.clip(z, -1e9, 1e9) ** 3)


def tanh_of_softplus(z):
    """Both parts of the fraction by e^−2|z|, so that neither overflows."""
    small = np.exp(-np.abs(z))
    above = np.where(z > 0, 1 + 2 * small, small * (small + 2))
    return above / (above + np.where(z > 0, 2 * small**2, 2))


IN_FLOAT64 = {
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "celu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "silu": lambda z: z * expit(z),
    "mish": lambda z: z * tanh_of_softplus(z),
    "tanh": np.tanh,
    "sigmoid": expit,
    "softplus": lambda z: -log_expit(-z),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "log_sigmoid": log_expit,
    "gelu": lambda z: z * expit(gelu_argument(z)),
    "gelu_exact": lambda z: z * ndtr(z),
}


@pytest.mark.parametrize("name", IN_FLOAT64)
@np.errstate(under="ignore")
def test_an_activation_in_float32_is_that_of_float64_to_a_few_ulp_at_every_size(name):
    """In the far tail of gelu, where a rounded z² or z³ is exponentiated, to a few of its ulp."""
    z = GRID.astype(float)
    wanted = IN_FLOAT64[name](z)
    exponent = {"gelu_exact": z**2, "gelu": np.abs(gelu_argument(z))}.get(name, np.zeros_like(z))
    tolerance = 2.0**-23 * (4 + np.minimum(exponent, 200)) * np.abs(wanted) + 4e-38
    found = np.asarray(ACTIVATIONS[name].function(jnp.asarray(GRID)))
    assert np.all(np.abs(found - wanted) <= tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_slope_in_float32_is_that_of_float64_to_a_few_ulp_of_the_largest(name):
    """Against the same formula in float64, where test_function_and_slope_are_right is about it."""
    f = ACTIVATIONS[name]

    def slope(dtype):
        z = jnp.asarray(GRID, dtype)
        return np.asarray(f.slope(f.function(z) if f.keeps == "a" else z))

    with jax.enable_x64(True):
        wanted = slope("float64")
    with np.errstate(over="ignore"):  # 2z of squared_relu
        wanted = wanted.astype(np.float32)
    np.testing.assert_allclose(slope("float32"), wanted, rtol=5e-7, atol=5e-7)
