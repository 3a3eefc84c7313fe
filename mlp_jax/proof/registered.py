"""Witness 4 for activations and losses: plain numbers, or `jax.grad` for those users registered.

A function that a user registers has no version in Python's `math`. Its scalar witness evaluates the
function alone, in float64, and differentiates it by `jax.grad`; the user's slope is not used.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import ACTIVATIONS, LOSSES
from mlp_jax.proof.scalars import ACTIVATION_SCALARS, LOSS_SCALARS, Scalar


def activation_scalars(name: str) -> tuple[Scalar, Scalar]:
    """Return (f, f') of an activation as functions of numbers."""
    if name in ACTIVATION_SCALARS:
        return ACTIVATION_SCALARS[name]
    f = ACTIVATIONS[name].function

    def value(z: float) -> float:
        with jax.enable_x64(True):
            return float(f(jnp.full((1,), z, jnp.float64))[0])

    def slope(z: float) -> float:
        with jax.enable_x64(True):
            return float(jax.grad(lambda v: f(v[None])[0])(jnp.float64(z)))

    return value, slope


def loss_scalars(name: str) -> tuple[Callable[..., float], Callable[..., float]]:
    """Return (Eₙ, ∂Eₙ/∂s_k) of a loss as functions of lists of numbers."""
    if name in LOSS_SCALARS:
        return LOSS_SCALARS[name]
    f = LOSSES[name].value

    def arrays(s: Any, y: Any) -> tuple[Any, Any]:
        target = np.asarray([y], np.int32) if isinstance(y, int) else np.asarray([y], np.float64)
        return jnp.asarray([s], jnp.float64), target

    def value(s: Any, y: Any, **options: float) -> float:
        with jax.enable_x64(True):
            return float(f(*arrays(s, y), **options)[0])

    def slope(s: Any, y: Any, k: int, **options: float) -> float:
        with jax.enable_x64(True):
            outputs, target = arrays(s, y)
            return float(jax.grad(lambda o: f(o, target, **options)[0])(outputs)[0, k])

    return value, slope
