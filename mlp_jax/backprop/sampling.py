"""Gradients at targets drawn from the model: the loss's own distribution.

A loss that is a negative log-likelihood, E = −log p(y | s), has a Fisher information of its output,
E_y[∇s ∇sᵀ] with y drawn from p(· | s). If s is the natural parameter of p, the Hessian ∂²E/∂s² does
not depend on y and equals that matrix (Martens 2020, "New Insights and Perspectives on the Natural
Gradient Method", §9), so that backward passes from drawn targets give the Fisher information of the
parameters, which is the generalized Gauss-Newton matrix of the loss.

Letters: N examples, C outputs s (N, C); p = softmax(s) or σ(s), r = e^s; H = ∂²Eₙ/∂sₙ² (C, C).

    ====================== ============ ======================== ========================
    loss                   drawn        its ∇s                   H
    ====================== ============ ======================== ========================
    softmax_cross_entropy  k ~ p        p − 1ₖ                   diag(p) − ppᵀ
    sigmoid_cross_entropy  y ~ p        p − y                    diag(p(1 − p))
    squared_error          s + √(C/2)ν  −√(2/C) ν, ν ~ N(0, 1)   2/C
    poisson                y ~ r        (r − y)/√C               diag(r)/C
    ====================== ============ ======================== ========================

The squared error is (1/C) Σ (s − y)² = −log p(y | s) with variance C/2. The Poisson loss is 1/C
of its −log p, whose ∇s has the second moment r: 1/√C of it has H. Label smoothing moves the target
and with it ∇E, but not H: drawn targets are not smoothed.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.losses import Loss
from mlp_jax.errors import InputError


def _drawn_softmax(s: Array, key: Array) -> Array:
    """p − 1ₖ, k ~ p."""
    label = jax.random.categorical(key, s, axis=1)
    return jax.nn.softmax(s, axis=1) - jax.nn.one_hot(label, s.shape[1], dtype=s.dtype)


def _drawn_sigmoid(s: Array, key: Array) -> Array:
    """p − y, y ~ p."""
    p = jax.nn.sigmoid(s)
    return p - jax.random.bernoulli(key, p).astype(s.dtype)


def _drawn_normal(s: Array, key: Array) -> Array:
    """−√(2/C) ν, which is 2(s − y)/C at y = s + √(C/2) ν."""
    return -math.sqrt(2 / s.shape[1]) * jax.random.normal(key, s.shape, s.dtype)


def _drawn_poisson(s: Array, key: Array) -> Array:
    """(r − y)/√C, y ~ r."""
    rate = jnp.exp(s)
    y = jax.random.poisson(key, rate, dtype=jnp.int32)
    return (rate - y.astype(s.dtype)) / math.sqrt(s.shape[1])


DRAWN: dict[str, Callable[[Array, Array], Array]] = {
    "softmax_cross_entropy": _drawn_softmax,
    "sigmoid_cross_entropy": _drawn_sigmoid,
    "squared_error": _drawn_normal,
    "poisson": _drawn_poisson,
}


def check_distribution(loss: Loss) -> None:
    """Raise InputError for a loss that is not a negative log-likelihood of s."""
    if loss.name not in DRAWN:
        raise InputError(
            f"The loss {loss} is not a negative log-likelihood, so targets cannot be drawn from it;"
            f" use one of {', '.join(sorted(DRAWN))}."
        )


def drawn_gradient(loss: Loss, output: Float[Array, "N C"], key: Array) -> Float[Array, "N C"]:
    """Return ∇s of each example at a target drawn from the model: E[∇s ∇sᵀ] = ∂²E/∂s² exactly.

    One draw per example (Martens & Grosse 2015, "Optimizing Neural Networks with Kronecker-factored
    Approximate Curvature", §5).

    Args:
        loss: the loss.
        output: outputs (N, C).
        key: random key.

    Returns:
        The gradients (N, C).

    Raises:
        InputError: for a loss without a distribution.
    """
    check_distribution(loss)
    return DRAWN[loss.name](output, key)
