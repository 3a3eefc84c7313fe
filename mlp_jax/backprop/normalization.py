"""Layer norm, RMS norm and batch norm, with their backward by hand.

All three are y = γ ⊙ x̂ + β with x̂ = (a − μ)/σ; they differ in the set over which μ and σ are
taken. With ĝ = γ ⊙ ∇y and ⟨·⟩ the mean over that set, a moves x̂ in three ways (itself, through
μ, through σ), and each is one term of

    ∇a = (ĝ − ⟨ĝ⟩ − x̂ ⟨ĝ ⊙ x̂⟩) / σ,    ∇γ = x̂ ⊙ ∇y,    ∇β = ∇y   (each example's own).

N examples, J features.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.layer import accumulator, weighted_sum
from mlp_jax.backprop.records import PerExample
from mlp_jax.backprop.specification import Layer, State


class Normalized(NamedTuple):
    """Residual of a norm: x̂ (N, J) and 1/σ, (N, 1) or (J,).

    row_share (N,) is each row's share in the batch statistics, 1/n for an example and 0 for a
    padding row; None if the statistics are not the batch's.
    """

    x_hat: Float[Array, "N J"]
    inverse_sigma: Array
    row_share: Float[Array, " N"] | None = None


def _wide(a: Array) -> Array:
    return a.astype(accumulator(a))


def layer_norm_input_grad(g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
    """∇a = (ĝ − ⟨ĝ⟩ − x̂⟨ĝ ⊙ x̂⟩)/σ, ⟨·⟩ over the features of one example (Ba 2016)."""
    mean = jnp.mean(g_hat, axis=1, keepdims=True)
    along = jnp.mean(g_hat * saved.x_hat, axis=1, keepdims=True)
    return (g_hat - mean - saved.x_hat * along) * saved.inverse_sigma


def rms_norm_input_grad(g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
    """∇a = (ĝ − x̂⟨ĝ ⊙ x̂⟩)/σ: there is no mean to differentiate (Zhang & Sennrich 2019)."""
    along = jnp.mean(g_hat * saved.x_hat, axis=1, keepdims=True)
    return (g_hat - saved.x_hat * along) * saved.inverse_sigma


def batch_norm_input_grad(g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
    """∇a = (ĝ − ⟨ĝ⟩ − x̂⟨ĝ ⊙ x̂⟩)/σ, ⟨·⟩ over the examples (Ioffe & Szegedy 2015).

    With running statistics (row_share None) μ and σ are constants and ∇a = ĝ/σ. A padding row has
    no part in μ and σ, so nothing reaches it through them.
    """
    inverse_sigma = saved.inverse_sigma[None, :]
    if saved.row_share is None:
        return g_hat * inverse_sigma
    count = jnp.sum(saved.row_share > 0).astype(g_hat.dtype)
    through_mean = jnp.sum(g_hat, axis=0, keepdims=True) / count
    through_sigma = jnp.sum(g_hat * saved.x_hat, axis=0, keepdims=True) / count
    counted = (saved.row_share > 0)[:, None]
    mixed = through_mean + saved.x_hat * through_sigma
    return (g_hat - jnp.where(counted, mixed, jnp.zeros_like(mixed))) * inverse_sigma


@dataclass(frozen=True)
class Norm(Layer):
    """Base class of the norms: scale γ and shift β, and the common backward pass."""

    epsilon: float = 1e-5

    title: ClassVar[str] = "Norm"

    def __str__(self) -> str:
        return f"{self.title}()"

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], State]:
        """γ = 1, β = 0."""
        return {
            "scale": jnp.ones((n_in,), jnp.float32),
            "shift": jnp.zeros((n_in,), jnp.float32),
        }, ()

    def _affine(self, params: dict[str, Array], saved: Normalized, dtype: DTypeLike) -> Array:
        y = params["scale"][None, :] * saved.x_hat
        return (y + params["shift"][None, :] if "shift" in params else y).astype(dtype)

    def input_grad(self, g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
        """∇a from ĝ = γ ⊙ ∇y."""
        raise NotImplementedError

    def backward(
        self,
        params: dict[str, Array],
        residual: Normalized,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, PerExample]]:
        """∇a by the norm's equation; ∇γ = x̂ ⊙ ∇y, ∇β = ∇y."""
        grad_y = grad_a_next.astype(residual.x_hat.dtype)
        g_hat = params["scale"][None, :] * grad_y
        grad_a = self.input_grad(g_hat, residual) if need_grad_a else None
        records = {"scale": PerExample(residual.x_hat * grad_y)}
        if "shift" in params:
            records["shift"] = PerExample(grad_y)
        return grad_a, records


@dataclass(frozen=True)
class LayerNorm(Norm):
    """x̂ = (a − mean)/√(variance + ε) over the features of each example (Ba 2016).

    Args:
        epsilon: ε.
    """

    title: ClassVar[str] = "LayerNorm"

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Normalized]:
        """y = γ ⊙ x̂ + β."""
        wide = _wide(a)
        centred = wide - jnp.mean(wide, axis=1, keepdims=True)
        variance = jnp.mean(centred**2, axis=1, keepdims=True)
        inverse_sigma = jax.lax.rsqrt(variance + self.epsilon)
        saved = Normalized(centred * inverse_sigma, inverse_sigma)
        return self._affine(params, saved, a.dtype), state, saved

    def input_grad(self, g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
        """`layer_norm_input_grad`."""
        return layer_norm_input_grad(g_hat, saved)


@dataclass(frozen=True)
class RMSNorm(Norm):
    """x̂ = a/√(mean of a² + ε) over the features of each example; no shift (Zhang 2019).

    Args:
        epsilon: ε.
    """

    title: ClassVar[str] = "RMSNorm"

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], State]:
        """γ = 1."""
        return {"scale": jnp.ones((n_in,), jnp.float32)}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Normalized]:
        """y = γ ⊙ x̂."""
        wide = _wide(a)
        inverse_sigma = jax.lax.rsqrt(jnp.mean(wide**2, axis=1, keepdims=True) + self.epsilon)
        saved = Normalized(wide * inverse_sigma, inverse_sigma)
        return self._affine(params, saved, a.dtype), state, saved

    def input_grad(self, g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
        """`rms_norm_input_grad`."""
        return rms_norm_input_grad(g_hat, saved)


@dataclass(frozen=True)
class BatchNorm(Norm):
    """x̂ = (a − mean)/√(variance + ε) over the examples of the batch (Ioffe & Szegedy 2015).

    Inference uses running statistics, r ← m r + (1 − m) batch with m = `momentum`, the variance
    without Bessel's correction. Padding rows (mask False) are excluded, and a batch of n examples
    in N places moves them by n/N of a full one: (1 − m) n/N in place of 1 − m. A last batch of one
    example, whose variance is 0, therefore changes them little.

    Args:
        epsilon: ε.
        momentum: m.
    """

    momentum: float = 0.9

    title: ClassVar[str] = "BatchNorm"

    @property
    def couples_examples(self) -> bool:
        """True: every example changes the mean and the variance of all."""
        return True

    @property
    def has_state(self) -> bool:
        """True: the running statistics."""
        return True

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """γ = 1, β = 0, running mean 0 and variance 1."""
        params, _ = super().init(key, n_in)
        zeros, ones = jnp.zeros((n_in,), jnp.float32), jnp.ones((n_in,), jnp.float32)
        return params, {"mean": zeros, "variance": ones}

    def forward(
        self,
        params: dict[str, Array],
        state: dict[str, Array],
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, dict[str, Array], Normalized]:
        """y = γ ⊙ x̂ + β, and the updated running statistics in training."""
        wide = _wide(a)
        share = None
        mean, variance = state["mean"].astype(wide.dtype), state["variance"].astype(wide.dtype)
        if train:
            counted = jnp.ones(a.shape[0], bool) if mask is None else mask
            share = counted.astype(wide.dtype) / jnp.maximum(jnp.sum(counted), 1).astype(wide.dtype)
            mean = weighted_sum(share, wide)
            variance = weighted_sum(share, (wide - mean[None, :]) ** 2)
            filled = None if mask is None else jnp.mean(mask, dtype=wide.dtype)
            state = self._moved(state, mean, variance, filled)
        inverse_sigma = jax.lax.rsqrt(variance + self.epsilon)
        saved = Normalized((wide - mean[None, :]) * inverse_sigma[None, :], inverse_sigma, share)
        return self._affine(params, saved, a.dtype), state, saved

    def input_grad(self, g_hat: Float[Array, "N J"], saved: Normalized) -> Float[Array, "N J"]:
        """`batch_norm_input_grad`."""
        return batch_norm_input_grad(g_hat, saved)

    def _moved(
        self, state: dict[str, Array], mean: Array, variance: Array, filled: Array | None
    ) -> dict[str, Array]:
        """Update the running statistics; filled: the share of the batch that is no padding."""
        m = self.momentum
        share: Any = 1 - m if filled is None else (1 - m) * filled.astype(state["mean"].dtype)
        return {
            name: (m if filled is None else 1 - share) * state[name]
            + share * batch.astype(state[name].dtype)
            for name, batch in (("mean", mean), ("variance", variance))
        }
