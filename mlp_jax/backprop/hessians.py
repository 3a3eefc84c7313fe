"""Square roots of the losses' Hessians in the output, by hand, in a table beside `losses.py`.

∇²Eₙ (C, C) is the curvature of one example's own loss in the network's output s. A root of it is an
S (C, K) with SSᵀ = ∇²Eₙ: K backward passes start from its columns to carry the curvature to the
parameters. Every entry is a product of positive factors and a sign, never a difference of nearly
equal numbers, so that a root is accurate at any logit.

A root exists where the loss is convex in s. Piecewise linear losses have no curvature between
their kinks, and focal loss is not convex: both are refused.

Letters: N examples, C outputs, K columns, one array (K, N, C).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.loss_functions import class_probabilities, root_softmax, softmax
from mlp_jax.backprop.losses import Loss
from mlp_jax.errors import InputError


def diagonal_root(root: Float[Array, "N C"]) -> Float[Array, "C N C"]:
    """Root of a diagonal Hessian: column k has the root of entry k, else 0."""
    return jnp.eye(root.shape[1], dtype=root.dtype)[:, None, :] * root[None]


def squared_error_root(s: Array, y: Array | None) -> Array:
    """∇²E = 2/C · 1."""
    return diagonal_root(jnp.full_like(s, math.sqrt(2 / s.shape[1])))


def huber_root(s: Array, y: Array, delta: float = 1.0) -> Array:
    """∇²E = diag[|e| ≤ δ]/C, e = s − y; at the kink the inner value."""
    inside = jnp.abs(s - y.reshape(s.shape).astype(s.dtype)) <= delta
    return diagonal_root(inside.astype(s.dtype) / math.sqrt(s.shape[1]))


def log_cosh_root(s: Array, y: Array) -> Array:
    """∇²E = diag(1/cosh² e)/C, 1/cosh e = 2 e^−|e|/(1 + e^−2|e|), e = s − y."""
    small = jnp.exp(-jnp.abs(s - y.reshape(s.shape).astype(s.dtype)))
    return diagonal_root(2 * small / (1 + small**2) / math.sqrt(s.shape[1]))


def poisson_root(s: Array, y: Array | None) -> Array:
    """∇²E = diag(e^s)/C."""
    return diagonal_root(jnp.exp(s / 2) / math.sqrt(s.shape[1]))


def sigmoid_cross_entropy_root(s: Array, y: Array | None, label_smoothing: float = 0.0) -> Array:
    """∇²E = diag(σ(s) σ(−s)), whose root is e^−|s|/2/(1 + e^−|s|)."""
    return diagonal_root(jnp.exp(-jnp.abs(s) / 2) / (1 + jnp.exp(-jnp.abs(s))))


def softmax_cross_entropy_root(s: Array, y: Array | None, label_smoothing: float = 0.0) -> Array:
    """∇²E = (Σ_k y_k)(diag p − ppᵀ), of rank C − 1: adding to all logits changes nothing.

    With u = √p, of length 1, it is diag(u)(1 − uuᵀ)diag(u), and a root of the projection 1 − uuᵀ
    is the first C − 1 columns of the Householder reflection that maps u to the last unit vector:
    1 − vvᵀ/(1 + u_C), v = u + 1_C. Column k < C of the root is then

        S_kk = u_k (u_C + Σ_{j≠k} p_j)/(1 + u_C),  S_jk = −u_k p_j/(1 + u_C),  S_Ck = −u_k u_C.
    """
    p, u = softmax(s), root_softmax(s)
    last = u[:, -1:]
    unit = jnp.eye(s.shape[1], dtype=s.dtype)
    others = jnp.matmul(p, 1 - unit, precision=jax.lax.Precision.HIGHEST)
    along = jnp.concatenate([-p[:, :-1] / (1 + last), -last], axis=1)
    own = unit[:-1, None, :] * ((last + others) / (1 + last))[None]
    root = jnp.where(unit[:-1, None, :] > 0, own, along[None]) * u.T[:-1, :, None]
    if y is None:
        return root
    total = jnp.sum(class_probabilities(s, y, label_smoothing), axis=1)
    return jnp.sqrt(total)[None, :, None] * root


HESSIAN_ROOTS: dict[str, Callable[..., Array]] = {
    "squared_error": squared_error_root,
    "huber": huber_root,
    "log_cosh": log_cosh_root,
    "poisson": poisson_root,
    "sigmoid_cross_entropy": sigmoid_cross_entropy_root,
    "softmax_cross_entropy": softmax_cross_entropy_root,
}

REFUSED: dict[str, str] = {
    "absolute_error": "is linear on both sides of its kink",
    "quantile": "is linear on both sides of its kink",
    "hinge": "is linear on both sides of its kinks",
    "focal": "is not convex in the output",
}


DEPEND_ON_TARGETS = ("huber", "log_cosh")


def check_convex(loss: Loss) -> None:
    """Raise InputError for a loss whose Hessian in the output has no root, or is always 0."""
    if loss.name in REFUSED:
        raise InputError(
            f"The loss {loss} {REFUSED[loss.name]}, so it has no Gauss-Newton curvature; use one"
            f" of {', '.join(sorted(HESSIAN_ROOTS))}."
        )


def hessian_root(
    loss: Loss, output: Float[Array, "N C"], y: Array | None = None
) -> Float[Array, "K N C"]:
    """Return the columns of S with SSᵀ = ∇²Eₙ in the output, for every example.

    Args:
        loss: the loss.
        output: outputs (N, C).
        y: targets; may be omitted if the Hessian does not depend on them, as for a negative
            log-likelihood in its natural parameter.

    Returns:
        The columns (K, N, C), K ≤ C.

    Raises:
        InputError: for a loss without a root, or one that needs the omitted y.
    """
    check_convex(loss)
    if y is None and loss.name in DEPEND_ON_TARGETS:
        raise InputError(f"The curvature of the loss {loss} depends on the targets: pass y.")
    return HESSIAN_ROOTS[loss.name](output, y, **dict(loss.options))
