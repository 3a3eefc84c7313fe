"""scikit-learn's losses in terms of ours: the reported value and the gradient it follows.

Letters: N rows, C outputs; p the prediction of a linear output s.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from mlp_jax.backprop import Loss


@dataclass(frozen=True)
class ScikitLoss(Loss):
    """A loss of ours with the value and gradient of scikit-learn, under the same name.

    ===================== ================================= ==========
    name                  value of one example              gradient
    ===================== ================================= ==========
    squared_error         ½ mean over C of (s − y)²         s − y
    poisson               Σ y log(y/p) − y + p, p = eˢ      p − y
    softmax_cross_entropy −log p_y, p clipped               p − y
    sigmoid_cross_entropy Σ binary, p clipped               p − y
    ===================== ================================= ==========

    The value is reported and monitored, the gradient is followed: over several outputs
    scikit-learn's ½ mean of squares has the gradient (s − y)/C, but it follows s − y. Every other
    loss is unchanged.
    """

    def value(self, output: Float[Array, "N C"], y: Array) -> Float[Array, " N"]:
        """Return Eₙ of each example as scikit-learn reports it."""
        if self.name == "squared_error":
            return super().value(output, y) / 2
        if self.name == "poisson":
            y = y.reshape(output.shape).astype(output.dtype)
            return jnp.sum(xlogy(y, y) - y * output - y + jnp.exp(output), axis=1)
        if self.options:
            return super().value(output, y)
        if self.name == "softmax_cross_entropy" and y.ndim == 1:
            log_p = _off_the_ends(jax.nn.log_softmax(output, axis=1))
            return -jnp.sum(jax.nn.one_hot(y, output.shape[1], dtype=log_p.dtype) * log_p, axis=1)
        if self.name == "sigmoid_cross_entropy":
            y = y.reshape(output.shape).astype(output.dtype)
            log_p = _off_the_ends(jax.nn.log_sigmoid(output))
            log_rest = _off_the_ends(jax.nn.log_sigmoid(-output))
            return -jnp.sum(y * log_p + (1 - y) * log_rest, axis=1)
        return super().value(output, y)

    def gradient(self, output: Float[Array, "N C"], y: Array) -> Float[Array, "N C"]:
        """Return ∂Eₙ/∂s that scikit-learn follows: ours, a mean over outputs, as a sum."""
        gradient = super().gradient(output, y)
        outputs = output.shape[1]
        factor = {"squared_error": outputs / 2, "poisson": outputs}.get(self.name, 1)
        return gradient if factor == 1 else factor * gradient

    @property
    def checked_as(self) -> Loss:
        """Loss of ours that this one is a multiple of, for the gradient check."""
        return Loss(self.name, self.options)


def _off_the_ends(log_p: Array) -> Array:
    """log of p clipped to [ε, 1 − ε], ε the machine epsilon."""
    epsilon = float(jnp.finfo(log_p.dtype).eps)
    return jnp.clip(log_p, math.log(epsilon), math.log1p(-epsilon))
