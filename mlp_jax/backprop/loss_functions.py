"""Formulas of the losses: each value Eₙ and, beside it, its gradient ∇Eₙ in the output.

Letters: N examples, C outputs, s (N, C) the output, y the targets, e = s − y.

The formulas are written for accuracy. No digit is lost to a difference of nearly equal numbers
where the result is well defined: 1 − p is summed from the other probabilities, log cosh e near 0
comes from expm1. An output of ±∞, or one so large that a part of the formula overflows, gives the
limit: 0 · ∞ is 0, so a class that is masked by a logit of −∞ has no effect. The result is NaN where
there is no limit: all logits −∞, two logits +∞, or an infinite output that equals its target.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

_LOG_COSH_NEAR = 1.0  # |e| below which log cosh e is written by expm1
_POISSON_NEAR = 1.0  # |s| below which e^s − y is


def _columns(s: Array, y: Array) -> Array:
    """Targets as (N, C) in the type of s."""
    return y.reshape(s.shape).astype(s.dtype)


def _one_hot(s: Array, y: Array) -> Array:
    labels = y if jnp.issubdtype(y.dtype, jnp.integer) else y.astype(jnp.int32)
    return jax.nn.one_hot(labels, s.shape[1], dtype=s.dtype)


def many_classes(s: Array, y: Array) -> bool:
    """Test whether y are labels of several classes, not one yes or no per output."""
    return s.shape[1] > 1 and y.ndim == 1


def _times(weight: Array, value: Array) -> Array:
    """weight · value, 0 where the weight is 0 whatever the value."""
    return jnp.where(weight == 0, jnp.zeros_like(value), weight * value)


def _mean_over_outputs(each: Array) -> Array:
    """Mean of each row; the sum of the shares if the sum overflows."""
    n = each.shape[1]
    if n == 1:
        return each[:, 0]
    total = jnp.sum(each, axis=1)
    return jnp.where(jnp.isinf(total), jnp.sum(each / n, axis=1), total / n)


def squared_error(s: Array, y: Array) -> Array:
    """(s − y)², the mean over outputs (no ½)."""
    return _mean_over_outputs((s - _columns(s, y)) ** 2)


def squared_error_gradient(s: Array, y: Array) -> Array:
    """2(s − y)/C."""
    return 2 * ((s - _columns(s, y)) / s.shape[1])


def absolute_error(s: Array, y: Array) -> Array:
    """|s − y|, the mean over outputs."""
    return _mean_over_outputs(jnp.abs(s - _columns(s, y)))


def absolute_error_gradient(s: Array, y: Array) -> Array:
    """sign(s − y)/C, 0 at the kink."""
    return jnp.sign(s - _columns(s, y)) / s.shape[1]


def huber(s: Array, y: Array, delta: float = 1.0) -> Array:
    """½e² where |e| ≤ δ, δ(|e| − ½δ) beyond, e = s − y; the mean over outputs (Huber 1964)."""
    size = jnp.abs(s - _columns(s, y))
    near = jnp.minimum(size, delta)
    return _mean_over_outputs(0.5 * near * near + delta * (size - near))


def huber_gradient(s: Array, y: Array, delta: float = 1.0) -> Array:
    """e clipped to [−δ, δ], over C."""
    return jnp.clip(s - _columns(s, y), -delta, delta) / s.shape[1]


def log_cosh(s: Array, y: Array) -> Array:
    """log cosh e, e = s − y; the mean over outputs.

    |e| + log(1 + e^−2|e|) − log 2 far from 0. Near 0 that is a difference of nearly equal numbers,
    so log(1 + x) with x = cosh e − 1 = ½ (1 − e^−|e|)² e^|e| replaces it.
    """
    size = jnp.abs(s - _columns(s, y))
    near = jnp.minimum(size, _LOG_COSH_NEAR)
    small = jnp.log1p(0.5 * jnp.expm1(-near) ** 2 * jnp.exp(near))
    large = size + (jnp.log1p(jnp.exp(-2 * size)) - math.log(2))
    return _mean_over_outputs(jnp.where(size < _LOG_COSH_NEAR, small, large))


def log_cosh_gradient(s: Array, y: Array) -> Array:
    """tanh(e)/C."""
    return jnp.tanh(s - _columns(s, y)) / s.shape[1]


def quantile(s: Array, y: Array, q: float = 0.5) -> Array:
    """q·e where e = y − s > 0, (q − 1)e elsewhere; the mean over outputs (Koenker 1978)."""
    error = _columns(s, y) - s
    return _mean_over_outputs(jnp.maximum(q * error, (q - 1) * error))


def quantile_gradient(s: Array, y: Array, q: float = 0.5) -> Array:
    """−q below the target, 1 − q above it, ½ − q at the kink, over C."""
    side = jnp.sign(s - _columns(s, y))
    above, below, at_kink = (jnp.asarray(value, s.dtype) for value in (1 - q, -q, 0.5 - q))
    slope = jnp.where(side > 0, above, jnp.where(side < 0, below, at_kink + side))
    return slope / s.shape[1]


def poisson(s: Array, y: Array) -> Array:
    """e^s − y s for counts y with rate e^s (log y! left out); the mean over outputs."""
    rate = jnp.exp(s)
    each = jnp.where(jnp.isinf(rate), rate, rate - _times(_columns(s, y), s))
    return _mean_over_outputs(each)


def poisson_gradient(s: Array, y: Array) -> Array:
    """(e^s − y)/C, written (e^s − 1) − (y − 1) near s = 0."""
    y = _columns(s, y)
    near = jnp.clip(s, -_POISSON_NEAR, _POISSON_NEAR)
    each = jnp.where(jnp.abs(s) < _POISSON_NEAR, jnp.expm1(near) - (y - 1), jnp.exp(s) - y)
    return each / s.shape[1]


def class_probabilities(s: Array, y: Array, label_smoothing: float) -> Array:
    """Target distribution (N, C): one-hot labels, or y itself, smoothed towards uniform."""
    p = _one_hot(s, y) if y.ndim == 1 else y.astype(s.dtype)
    if not label_smoothing:
        return p
    return (1 - label_smoothing) * p + label_smoothing / s.shape[1]


class _Powers(NamedTuple):
    """½(s − max s) and exp(s − max s), each (N, C), and the sum of the powers less 1 (N, 1).

    Half the difference, because the whole may overflow. The largest power is 1: the others are
    summed without it, for log1p.
    """

    half: Array
    powers: Array
    beyond_1: Array


def _powers(s: Array) -> _Powers:
    """Powers of softmax s.

    With a single logit of +∞ every other one is −∞. Two of them have no limit, nor have all −∞:
    their rows are NaN.
    """
    top = jax.lax.stop_gradient(jnp.max(s, axis=1, keepdims=True))
    ones = (s == top).astype(s.dtype)
    half = jnp.where(s == jnp.inf, jnp.zeros_like(s), 0.5 * s - 0.5 * top)
    powers = jnp.exp(2 * half)
    others_at_top = jnp.sum(ones, axis=1, keepdims=True) - 1
    undecided = (top == jnp.inf) & (others_at_top > 0)
    others_at_top = jnp.where(undecided, jnp.nan, others_at_top)
    return _Powers(half, powers, jnp.sum(powers - ones, axis=1, keepdims=True) + others_at_top)


def _half_log_softmax(s: Array) -> Array:
    """½ log p (N, C)."""
    half, _, beyond_1 = _powers(s)
    return half - 0.5 * jnp.log1p(beyond_1)


def log_softmax(s: Array) -> Array:
    """log p (N, C), p = softmax s, accurate where p is nearly 1."""
    return 2 * _half_log_softmax(s)


def softmax(s: Array) -> Array:
    """p (N, C): a logit of −∞ has probability 0, a single one of +∞ has 1."""
    _, powers, beyond_1 = _powers(s)
    return powers / (1 + beyond_1)


def root_softmax(s: Array) -> Array:
    """√p (N, C), nonzero long after p has underflowed."""
    half, _, beyond_1 = _powers(s)
    return jnp.exp(half) / jnp.sqrt(1 + beyond_1)


def _rest(p: Array) -> Array:
    """1 − p (N, C) for probabilities p; above ½ the sum of the others."""
    above = p > 0.5
    others = jnp.sum(jnp.where(above, 0, p), axis=1, keepdims=True)
    return jnp.where(above, others, 1 - p)


def softmax_cross_entropy(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """−Σ_k y_k log softmax(s)_k, smoothed y_k ← (1 − ε) y_k + ε/C (Szegedy 2016).

    In terms of half the logarithms, because the difference of two logits may overflow.
    """
    target = class_probabilities(s, y, label_smoothing)
    return -2 * jnp.sum(_times(target, _half_log_softmax(s)), axis=1)


def softmax_cross_entropy_gradient(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """(Σ_j y_j) p − y, which is p − y for probabilities y.

    Written p_k Σ_{j≠k} y_j − y_k Σ_{j≠k} p_j, so that p_k is accurate beside y_k = 1.
    """
    target, p = class_probabilities(s, y, label_smoothing), softmax(s)
    return (jnp.sum(target, axis=1, keepdims=True) - target) * p - target * _rest(p)


def sigmoid_cross_entropy(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """max(s, 0) − s y + log(1 + e^−|s|), the sum over outputs; y ← (1 − ε) y + ε/2.

    Its first two terms are written (1 − y) max(s, 0) + y max(−s, 0).
    """
    target = (1 - label_smoothing) * _columns(s, y) + label_smoothing / 2
    linear = _times(1 - target, jnp.maximum(s, 0)) + _times(target, jnp.maximum(-s, 0))
    return jnp.sum(linear + jnp.log1p(jnp.exp(-jnp.abs(s))), axis=1)


def sigmoid_cross_entropy_gradient(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """σ(s) − y, written (1 − y) σ(s) − y σ(−s)."""
    target = (1 - label_smoothing) * _columns(s, y) + label_smoothing / 2
    return (1 - target) * jax.nn.sigmoid(s) - target * jax.nn.sigmoid(-s)


def _own(s: Array, y: Array) -> Array:
    """Entry of s at each label (N,)."""
    return jnp.sum(_times(_one_hot(s, y), s), axis=1)


def _runner_up(s: Array, y: Array) -> Array:
    """Scores (N, C) with the true class set to −∞."""
    return jnp.where(_one_hot(s, y) > 0, -jnp.inf, s)


def hinge(s: Array, y: Array) -> Array:
    """Σ max(0, 1 − t s), t = 2y − 1; for classes max(0, 1 + max_{k≠y} s_k − s_y) (Crammer 2001)."""
    if many_classes(s, y):
        return jnp.maximum(1 + (jnp.max(_runner_up(s, y), axis=1) - _own(s, y)), 0)
    return jnp.sum(jnp.maximum(1 - (2 * _columns(s, y) - 1) * s, 0), axis=1)


def hinge_gradient(s: Array, y: Array) -> Array:
    """−t inside the margin, 0 outside; for classes 1 at the runner-up and −1 at the true class."""
    if many_classes(s, y):
        inside = (hinge(s, y) > 0)[:, None].astype(s.dtype)
        rival = _one_hot(s, jnp.argmax(_runner_up(s, y), axis=1))
        return inside * (rival - _one_hot(s, y))
    sign = 2 * _columns(s, y) - 1
    return jnp.where(sign * s < 1, -sign, jnp.zeros_like(s))


def _softmax_focal_terms(s: Array, y: Array) -> tuple[Array, Array, Array]:
    """log p_y, p_y and 1 − p_y = Σ_{k≠y} p_k (summed, not subtracted), each (N,)."""
    p = softmax(s)
    return _own(log_softmax(s), y), _own(p, y), jnp.sum((1 - _one_hot(s, y)) * p, axis=1)


def focal(s: Array, y: Array, gamma: float = 2.0) -> Array:
    """−(1 − p)^γ log p, p the probability of the truth (Lin 2017); the sum over binary outputs."""
    if many_classes(s, y):
        log_own, _, rest = _softmax_focal_terms(s, y)
        return -(rest**gamma) * log_own
    margin = (2 * _columns(s, y) - 1) * s
    return -jnp.sum(jax.nn.sigmoid(-margin) ** gamma * jax.nn.log_sigmoid(margin), axis=1)


def focal_gradient(s: Array, y: Array, gamma: float = 2.0) -> Array:
    """∂E/∂s = g ⊙ (1_y − softmax s), g = (1 − p)^(γ−1) (γ p log p − (1 − p)); binary: t (1 − p) g'.

    From dE/dp = γ(1 − p)^(γ−1) log p − (1 − p)^γ/p and dp/ds_k = p(1_{k=y} − p_k); the binary case
    is the same with dp/ds = t p(1 − p), t = ±1.
    """
    if many_classes(s, y):
        log_own, own, rest = _softmax_focal_terms(s, y)
        inner = gamma * _times(own, log_own) * _power(rest, gamma - 1) - rest**gamma
        hot = _one_hot(s, y)
        return inner[:, None] * (hot * rest[:, None] - (1 - hot) * softmax(s))
    sign = 2 * _columns(s, y) - 1
    p, rest = jax.nn.sigmoid(sign * s), jax.nn.sigmoid(-sign * s)
    return sign * rest**gamma * (gamma * _times(p, jax.nn.log_sigmoid(sign * s)) - rest)


def _power(base: Array, exponent: float) -> Array:
    """base^exponent, where 0 to a negative power is 0: its other factors are 0."""
    if exponent >= 0:
        return base**exponent
    return jnp.where(base > 0, jnp.maximum(base, jnp.finfo(base.dtype).tiny) ** exponent, 0)
