"""The spread of the gradient over examples: second moment, variance, noise scale, from the tape.

Letters: gₙ = ∇Eₙ of example n, pₙ = cₙ/Σc its share of the batch (1/N without c), ḡ = Σₙ pₙgₙ the
batch's gradient. A statistic of one parameter has its shape; of a layer or the network, none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.gradient import mean_weights
from mlp_jax.backprop.layer import accumulator
from mlp_jax.backprop.records import Tape, contract
from mlp_jax.backprop.statistics import (
    by_layer,
    by_parameter,
    count,
    squared_norms_by_layer,
    summed,
    weighted_records,
)


def shares(tape: Tape, c: Float[Array, " M"] | None) -> Float[Array, " N"]:
    """pₙ = cₙ/Σc, 1/N without c."""
    records = weighted_records(tape, c)
    floating = [v for v in jax.tree.leaves(records) if jnp.issubdtype(v.dtype, jnp.floating)]
    return mean_weights(count(records), c, accumulator(floating[0]))


@jax.jit
def second_moment(tape: Tape, c: Float[Array, " M"] | None = None) -> Any:
    """Σₙ cₙ gₙ² in the shape of the parameter tree, the square element by element (c=None: ones).

    (A∘A)ᵀ(c ⊙ Δ∘Δ) for a weight matrix, one product as large as equation 3 (Dangel 2020,
    "BackPACK: Packing more into Backprop", its first-order extensions).
    """
    return by_parameter(weighted_records(tape, c), lambda record: record.second_moment(c))


@jax.jit
def variance(tape: Tape, c: Float[Array, " M"] | None = None) -> Any:
    """Σₙ pₙ gₙ² − ḡ² in the shape of the parameter tree: the variance over the examples.

    Without Bessel's correction, so that a batch of one has none (Dangel 2020). A difference: where
    it is small beside ḡ², rounding of ḡ² is what is left of it; it is never negative.
    """
    records, p = weighted_records(tape, c), shares(tape, c)
    moments = by_parameter(records, lambda record: record.second_moment(p))
    return jax.tree.map(lambda m, g: jnp.maximum(m - g**2, 0), moments, contract(records, p))


@jax.jit
def signal_to_noise(tape: Tape, c: Float[Array, " M"] | None = None) -> Any:
    """‖ḡ‖²/Σ variance of each layer, a number a layer; N times that for the mean of N examples.

    The sum of a layer's variances is Σₙ pₙ‖gₙ‖² − ‖ḡ‖², which the norms give. 0 where ḡ = 0,
    infinite where the examples agree; None for a layer without parameters.
    """
    records, p = weighted_records(tape, c), shares(tape, c)
    signal = by_layer(jax.tree.map(lambda g: jnp.sum(g**2), contract(records, p)))

    def ratio(squares: Array, size: Array) -> Array:
        return jnp.where(size > 0, size / jnp.maximum(p @ squares - size, 0), jnp.zeros_like(size))

    return jax.tree.map(ratio, squared_norms_by_layer(tape), signal)


class GradientNoise(NamedTuple):
    """noise: tr Σ, the variance of one example's gradient; signal: |G|², of the true gradient."""

    noise: Float[Array, ""]
    signal: Float[Array, ""]

    @property
    def scale(self) -> Float[Array, ""]:
        """B = tr Σ/|G|²: batches much larger gain little, much smaller ones cost nothing.

        McCandlish 2018, eq. 2.9, the "simple" noise scale. Infinite where the estimate of |G|² is
        not positive, which happens when the noise drowns it.
        """
        lost = jnp.full_like(self.signal, jnp.inf)
        return jnp.where(self.signal > 0, self.noise / self.signal, lost)


@jax.jit
def gradient_noise_by_layer(
    tape: Tape, c: Float[Array, " M"] | None = None, mean: Any = None
) -> Any:
    """`gradient_noise` of each layer by itself; None for a layer without parameters.

    The network's is the sum of them, and signal/noise of a layer is its signal-to-noise ratio of
    one example without the bias of `signal_to_noise`, which is about 1/N where all is noise.
    mean: ḡ, the gradient of the mean loss, where it is there already; else it is contracted.
    """
    records, p = weighted_records(tape, c), shares(tape, c)
    mean = contract(records, p) if mean is None else mean
    square_of_mean = by_layer(jax.tree.map(lambda g: jnp.sum(g**2), mean))
    q = jnp.sum(p**2)
    rest = jnp.where(jnp.sum(p > 0) > 1, 1 - q, jnp.nan)

    def estimates(squares: Array, of_mean: Array) -> GradientNoise:
        mean_square = p @ squares
        return GradientNoise((mean_square - of_mean) / rest, (of_mean - q * mean_square) / rest)

    return jax.tree.map(estimates, squared_norms_by_layer(tape), square_of_mean)


@jax.jit
def gradient_noise(tape: Tape, c: Float[Array, " M"] | None = None) -> GradientNoise:
    """Estimates without bias of tr Σ and |G|² from one batch.

    McCandlish 2018, "An Empirical Model of Large-Batch Training", appendix A.1. Each gₙ is a batch
    of one, ḡ is the batch: with S = Σ pₙ‖gₙ‖² and q = Σ pₙ²,

        E[S] = |G|² + tr Σ,  E‖ḡ‖² = |G|² + q tr Σ,
        tr Σ = (S − ‖ḡ‖²)/(1 − q),  |G|² = (‖ḡ‖² − q S)/(1 − q).

    q = 1/N without c, which are the paper's estimates with a small batch of 1. NaN where fewer
    than two examples count: one gradient does not tell its noise. Their quotient is biased, so
    average numerator and denominator apart (`NoiseAverage`).
    """
    return total_noise(gradient_noise_by_layer(tape, c))


def total_noise(by_layers: Any) -> GradientNoise:
    """The noise of the whole gradient, from that of its layers."""
    layers = jax.tree.leaves(by_layers, is_leaf=is_noise)
    return GradientNoise(*(summed(list(parts)) for parts in zip(*layers, strict=True)))


def is_noise(node: Any) -> bool:
    """Whether a node is a layer's `GradientNoise`: the leaf test of `gradient_noise_by_layer`."""
    return isinstance(node, GradientNoise)


class NoiseAverage(NamedTuple):
    """tr Σ and |G|² averaged over steps, apart, as exponential moving averages.

    share is the weight that the steps so far have, 1 − decayᵗ: the averages start at 0. Pure: a
    state to carry along; `NoiseAverage.start()`, then `average = average.updated(noise)`.
    """

    noise: Float[Array, ""]
    signal: Float[Array, ""]
    share: Float[Array, ""]

    @classmethod
    def start(cls, dtype: Any = jnp.float32) -> "NoiseAverage":
        """Nothing seen."""
        return cls(*(jnp.zeros((), dtype) for _ in cls._fields))

    def updated(self, new: GradientNoise, decay: float = 0.99) -> "NoiseAverage":
        """One step further; a step whose figures are not finite is passed over."""
        told = jnp.isfinite(new.noise) & jnp.isfinite(new.signal)
        added = (new.noise, new.signal, jnp.ones_like(new.noise))
        return NoiseAverage(
            *(
                jnp.where(told, decay * old + (1 - decay) * value.astype(old.dtype), old)
                for old, value in zip(self, added, strict=True)
            )
        )

    @property
    def average(self) -> GradientNoise:
        """The averages so far; NaN before the first step."""
        return GradientNoise(self.noise / self.share, self.signal / self.share)
