"""Spread of the gradient over examples: second moment, variance, noise scale, from the tape.

Letters: gₙ = ∇Eₙ of example n, pₙ = cₙ/Σc its share of the batch (1/N without c), ḡ = Σₙ pₙgₙ the
batch's gradient. A statistic of a parameter has its shape; of a layer or the network it is a
number.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mlp_jax.backprop.gradient import mean_weights
from mlp_jax.backprop.layer import accumulator
from mlp_jax.backprop.records import Tape, contract
from mlp_jax.backprop.specification import Params
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
def second_moment(tape: Tape, c: Float[Array, " M"] | None = None) -> Params:
    """Return Σₙ cₙ gₙ², the square element by element.

    (A∘A)ᵀ(c ⊙ Δ∘Δ) for a weight matrix, one product as large as equation 3 (Dangel 2020, "BackPACK:
    Packing more into Backprop", first-order extensions).

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: ones.

    Returns:
        A tree in the shape of the parameters.
    """
    return by_parameter(weighted_records(tape, c), lambda record: record.second_moment(c))


@jax.jit
def variance(tape: Tape, c: Float[Array, " M"] | None = None) -> Params:
    """Return the variance of the gradient over the examples, Σₙ pₙ gₙ² − ḡ².

    Without Bessel's correction, so that a batch of one has none (Dangel 2020). Where it is small
    beside ḡ², the difference is dominated by the rounding of ḡ²; it is never negative.

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: equal.

    Returns:
        A tree in the shape of the parameters.
    """
    records, p = weighted_records(tape, c), shares(tape, c)
    moments = by_parameter(records, lambda record: record.second_moment(p))
    return jax.tree.map(lambda m, g: jnp.maximum(m - g**2, 0), moments, contract(records, p))


@jax.jit
def signal_to_noise(tape: Tape, c: Float[Array, " M"] | None = None) -> Any:
    """Return ‖ḡ‖²/Σ variance of each layer; N times it holds for the mean of N examples.

    The sum of a layer's variances is Σₙ pₙ‖gₙ‖² − ‖ḡ‖², from the norms.

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: equal.

    Returns:
        A number per layer: 0 if ḡ = 0, infinite if the examples agree, None without parameters.
    """
    records, p = weighted_records(tape, c), shares(tape, c)
    signal = by_layer(jax.tree.map(lambda g: jnp.sum(g**2), contract(records, p)))

    def ratio(squares: Array, size: Array) -> Array:
        return jnp.where(size > 0, size / jnp.maximum(p @ squares - size, 0), jnp.zeros_like(size))

    return jax.tree.map(ratio, squared_norms_by_layer(tape), signal)


class GradientNoise(NamedTuple):
    """Estimates of the gradient's noise and signal from one batch.

    Attributes:
        noise: tr Σ, the variance of one example's gradient.
        signal: |G|² of the true gradient.
    """

    noise: Float[Array, ""]
    signal: Float[Array, ""]

    @property
    def scale(self) -> Float[Array, ""]:
        """B = tr Σ/|G|², the noise scale: the batch size beyond which larger batches gain little.

        McCandlish 2018, eq. 2.9, the "simple" noise scale. Infinite if the estimate of |G|² is not
        positive, which happens when noise dominates.
        """
        lost = jnp.full_like(self.signal, jnp.inf)
        return jnp.where(self.signal > 0, self.noise / self.signal, lost)


@jax.jit
def gradient_noise_by_layer(
    tape: Tape, c: Float[Array, " M"] | None = None, mean: Params = None
) -> Any:
    """Return `gradient_noise` of each layer.

    The network's is the sum of them. signal/noise of a layer is its signal-to-noise ratio of one
    example, without the bias of `signal_to_noise`, which is about 1/N for pure noise.

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: equal.
        mean: ḡ, the gradient of the mean loss, if it is known; None computes it from the tape.

    Returns:
        A tree with a `GradientNoise` per layer, None for a layer without parameters.
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
    """Estimate tr Σ and |G|² from one batch, without bias.

    McCandlish 2018, "An Empirical Model of Large-Batch Training", appendix A.1. Each gₙ is a batch
    of one, ḡ is the batch: with S = Σ pₙ‖gₙ‖² and q = Σ pₙ²,

        E[S] = |G|² + tr Σ,  E‖ḡ‖² = |G|² + q tr Σ,
        tr Σ = (S − ‖ḡ‖²)/(1 − q),  |G|² = (‖ḡ‖² − q S)/(1 − q).

    q = 1/N without c: the paper's estimates with a small batch of 1. The quotient of the two is
    biased, so average numerator and denominator separately (`NoiseAverage`).

    Args:
        tape: a tape with per-example gradients.
        c: weights of the examples; None: equal.

    Returns:
        The estimates; NaN if fewer than two examples have weight.
    """
    return total_noise(gradient_noise_by_layer(tape, c))


def total_noise(by_layers: Any) -> GradientNoise:
    """Sum the noise of the layers to that of the whole gradient."""
    layers = jax.tree.leaves(by_layers, is_leaf=is_noise)
    return GradientNoise(*(summed(list(parts)) for parts in zip(*layers, strict=True)))


def is_noise(node: Any) -> bool:
    """Test whether a node is a `GradientNoise`: the leaf test of `gradient_noise_by_layer`."""
    return isinstance(node, GradientNoise)


class NoiseAverage(NamedTuple):
    """Exponential moving averages of tr Σ and |G|² over steps, kept separately.

    Pure: start with `NoiseAverage.start()`, then `average = average.updated(noise)`.

    Attributes:
        noise: weighted sum of tr Σ.
        signal: weighted sum of |G|².
        share: total weight of the steps so far, 1 − decayᵗ, because the averages start at 0.
    """

    noise: Float[Array, ""]
    signal: Float[Array, ""]
    share: Float[Array, ""]

    @classmethod
    def start(cls, dtype: DTypeLike = jnp.float32) -> "NoiseAverage":
        """Return the average before the first step."""
        return cls(*(jnp.zeros((), dtype) for _ in cls._fields))

    def updated(self, new: GradientNoise, decay: float = 0.99) -> "NoiseAverage":
        """Return the average after one more step; a step that is not finite is ignored."""
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
        """Return the averages so far; NaN before the first step."""
        return GradientNoise(self.noise / self.share, self.signal / self.share)
