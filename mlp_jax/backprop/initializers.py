"""Initial weights, by name, from `jax.nn.initializers`.

He 2015 for functions that are linear on half the line, Glorot 2010 for saturating ones and the
output, LeCun 1998 for selu (Klambauer 2017), orthogonal after Saxe 2014 (gain √2), N(0, 1) for the
NTK parametrization (Jacot 2018), whose factor 1/√I is a separate layer.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.errors import UnknownNameError

INITIALIZERS: dict[str, Any] = {
    "he_normal": jax.nn.initializers.he_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "lecun_normal": jax.nn.initializers.lecun_normal(),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(),
    "standard_normal": jax.nn.initializers.normal(1.0),
    "orthogonal": jax.nn.initializers.orthogonal(scale=math.sqrt(2)),
}


def check_initializer(name: str) -> str:
    """Return `name` if it is known, else raise UnknownNameError."""
    if name not in INITIALIZERS:
        raise UnknownNameError("initializer", name, INITIALIZERS)
    return name


def initial_weight(name: str, key: Array, n_in: int, n_out: int) -> Float[Array, "I J"]:
    """Draw W (n_in, n_out) from `key`.

    Always in float32, so that a run in float64 starts from the same weights.
    """
    return INITIALIZERS[check_initializer(name)](key, (n_in, n_out), jnp.float32)
