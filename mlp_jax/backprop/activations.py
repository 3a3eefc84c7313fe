"""Activation functions f and their derivatives f', by hand, in a table.

f acts on each element of z (N, J); a = f(z). The slope f' is written in whichever of `a` or `z`
needs less memory, as `docs/residuals.md` measures: where f' is a function of a, the backward pass
stores nothing that the next layer does not store anyway. At a kink the slope is the one that
`jax.grad` gives for the function of that name in `jax.nn` (relu, relu6 and hard_sigmoid 0;
leaky_relu and hard_tanh 1).
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.initializers import check_initializer
from mlp_jax.errors import InputError, UnknownNameError, check_new_name

Elementwise = Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]

LEAKY_SLOPE = 0.01
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


class ActivationFunction(NamedTuple):
    """An activation: f, its slope f', the argument of the slope, and a matching initializer.

    function: z ↦ f(z).  slope: saved value ↦ f'(z).  keeps: "a" if the slope is a function of
    a = f(z), "z" if of z, "nothing" for the identity.
    """

    function: Elementwise
    slope: Elementwise
    keeps: Literal["a", "z", "nothing"]
    initializer: str


def _where(condition: Array, yes: Array | float, no: Array | float, like: Array) -> Array:
    """`jnp.where` with constants in the type of `like`."""
    return jnp.where(condition, jnp.asarray(yes, like.dtype), jnp.asarray(no, like.dtype))


def _relu6_slope(z: Array) -> Array:
    """1 for 0 < z < 6, 0 elsewhere."""
    return _where((z > 0) & (z < 6), 1, 0, z)


def _gelu_tanh_argument(z: Array) -> Array:
    """2u of ½(1 + tanh u) = σ(2u), u = √(2/π)(z + 0.044715 z³)."""
    return 2 * _SQRT_2_OVER_PI * (z + _GELU_CUBIC * z**3)


def _gelu_tanh(z: Array) -> Array:
    """½ z (1 + tanh u) as z σ(2u), which is accurate where tanh u is nearly −1."""
    return z * jax.nn.sigmoid(_gelu_tanh_argument(z))


def _gelu_tanh_slope(z: Array) -> Array:
    """σ(2u)(1 + 2 z u' σ(−2u)); beyond |z| = 30 it is 0 or 1, before z³ overflows."""
    z = jnp.clip(z, -30, 30)
    twice_u, du = _gelu_tanh_argument(z), _SQRT_2_OVER_PI * (1 + 3 * _GELU_CUBIC * z**2)
    return jax.nn.sigmoid(twice_u) * (1 + 2 * z * du * jax.nn.sigmoid(-twice_u))


def _gelu_exact_slope(z: Array) -> Array:
    """Φ(z) + z φ(z), the normal distribution's cumulative and density."""
    density = jnp.exp(-0.5 * z**2) * (1 / math.sqrt(2 * math.pi))
    return 0.5 * jax.lax.erfc(-math.sqrt(0.5) * z) + z * density


def _silu_slope(z: Array) -> Array:
    """σ(z)(1 + z σ(−z)); σ(−z) = 1 − σ(z) without the cancellation."""
    return jax.nn.sigmoid(z) * (1 + z * jax.nn.sigmoid(-z))


def _mish_slope(z: Array) -> Array:
    """t + z (1 − t²) σ(z), with t = tanh a, a = softplus z, and 1 − t² = (2 e^−a/(1 + e^−2a))²."""
    a = jax.nn.softplus(z)
    sech = 2 * jnp.exp(-a) / (1 + jnp.exp(-2 * a))
    return jnp.tanh(a) + z * (sech * sech * jax.nn.sigmoid(z))


def _selu_slope(z: Array) -> Array:
    """λ for z > 0, λ α eᶻ elsewhere."""
    return SELU_SCALE * _where(z > 0, 1, SELU_ALPHA * jnp.exp(jnp.minimum(z, 0)), z)


def _hard_tanh_slope(z: Array) -> Array:
    """1 for −1 ≤ z ≤ 1, 0 elsewhere."""
    return _where((z > 1) | (z < -1), 0, 1, z)


ACTIVATIONS: dict[str, ActivationFunction] = {
    "identity": ActivationFunction(lambda z: z, jnp.ones_like, "nothing", "glorot_uniform"),
    "relu": ActivationFunction(jax.nn.relu, lambda a: _where(a > 0, 1, 0, a), "a", "he_normal"),
    "leaky_relu": ActivationFunction(
        lambda z: jax.nn.leaky_relu(z, LEAKY_SLOPE),
        lambda a: _where(a >= 0, 1, LEAKY_SLOPE, a),
        "a",
        "he_normal",
    ),
    "relu6": ActivationFunction(jax.nn.relu6, _relu6_slope, "z", "he_normal"),
    "squared_relu": ActivationFunction(
        lambda z: jax.nn.relu(z) ** 2, lambda z: 2 * jax.nn.relu(z), "z", "he_normal"
    ),
    "elu": ActivationFunction(
        jax.nn.elu, lambda a: jnp.where(a > 0, jnp.ones_like(a), a + 1), "a", "he_normal"
    ),
    "selu": ActivationFunction(
        jax.nn.selu,
        _selu_slope,
        "z",
        "lecun_normal",
    ),
    "celu": ActivationFunction(
        jax.nn.celu, lambda a: jnp.where(a > 0, jnp.ones_like(a), a + 1), "a", "he_normal"
    ),
    "gelu": ActivationFunction(_gelu_tanh, _gelu_tanh_slope, "z", "he_normal"),
    "gelu_exact": ActivationFunction(
        lambda z: jax.nn.gelu(z, approximate=False), _gelu_exact_slope, "z", "he_normal"
    ),
    "silu": ActivationFunction(jax.nn.silu, _silu_slope, "z", "he_normal"),
    "mish": ActivationFunction(jax.nn.mish, _mish_slope, "z", "he_normal"),
    "tanh": ActivationFunction(jnp.tanh, lambda a: (1 - a) * (1 + a), "a", "glorot_uniform"),
    "hard_tanh": ActivationFunction(jax.nn.hard_tanh, _hard_tanh_slope, "z", "glorot_uniform"),
    "sigmoid": ActivationFunction(jax.nn.sigmoid, lambda a: a * (1 - a), "a", "glorot_uniform"),
    "hard_sigmoid": ActivationFunction(
        jax.nn.hard_sigmoid, lambda z: _relu6_slope(z + 3) / 6, "z", "glorot_uniform"
    ),
    "softplus": ActivationFunction(jax.nn.softplus, lambda a: -jnp.expm1(-a), "a", "he_normal"),
    "softsign": ActivationFunction(
        jax.nn.soft_sign, lambda a: (1 - jnp.abs(a)) ** 2, "a", "glorot_uniform"
    ),
    "log_sigmoid": ActivationFunction(
        jax.nn.log_sigmoid, lambda z: jax.nn.sigmoid(-z), "z", "glorot_uniform"
    ),
}


def register_activation(
    name: str,
    function: Elementwise,
    slope: Elementwise,
    *,
    keeps: Literal["a", "z"] = "z",
    initializer: str = "glorot_uniform",
) -> None:
    """Add an activation function, to be used by its name like the built-in ones.

    The gradient check before each run compares the slope with `jax.grad` of the function. A model
    with it can be loaded where the same name is registered.

    Args:
        name: the name, a Python identifier.
        function: f, a function of an array of any shape, element by element, written with
            `jax.numpy`.
        slope: f', of an array of the same shape and type.
        keeps: the argument of the slope: "z" for the input of f, "a" for its output, which costs
            no memory.
        initializer: initializer of the weight matrices before it.

    Raises:
        InputError: for a name that exists already, is no identifier, or for functions that do not
            return an array of the shape and type of their argument.
        UnknownNameError: for an unknown initializer.
    """
    check_new_name("activation", name, ACTIVATIONS)
    if keeps not in ("a", "z"):
        raise UnknownNameError("argument of a slope", str(keeps), ("a", "z"))
    check_initializer(initializer)
    like = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    for what, f in (("function", function), ("slope", slope)):
        try:
            found = jax.eval_shape(f, like)
        except TypeError as error:
            raise InputError(
                f"The {what} of the activation {name} cannot take an array: {error}"
            ) from None
        if getattr(found, "shape", None) != like.shape or found.dtype != like.dtype:
            raise InputError(
                f"The {what} of the activation {name} must return an array of the shape and type of"
                f" its argument, float32 (2, 3), not {found}."
            )
    ACTIVATIONS[name] = ActivationFunction(function, slope, keeps, initializer)


def get_activation(name: str) -> ActivationFunction:
    """Return the activation of that name.

    Raises:
        InputError: for a function instead of a name.
        UnknownNameError: for a name that is not in the table.
    """
    if not isinstance(name, str):
        raise InputError(
            f"An activation is given by its name, not as {name!r}: register the function and its"
            " slope with mlp_jax.register_activation, and give the name."
        )
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
