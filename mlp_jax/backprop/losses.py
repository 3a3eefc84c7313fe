"""Losses Eₙ of one example and their gradients ∇Eₙ with respect to the output, by hand, in a table.

The network's output s (N, C) is linear: logits for classes, the logarithm of the rate for counts.
`value` gives Eₙ (N,), `gradient` gives ∂Eₙ/∂s (N, C) of each example's own loss; the mean over the
batch and every other weight is c, applied later. A loss fuses with its link: softmax with
cross-entropy gives ∇s = p − y without dividing by p, and stays finite at any logit.

Targets y: real numbers (N, C) or (N,) for regression, where Eₙ is the mean over the C outputs;
labels (N,) of integers, or probabilities (N, C), for classes; 0 or 1, (N, C) or (N,), for binary
and multi-label losses, where Eₙ is the sum over the outputs. `hinge` and `focal` take labels (N,)
for C > 1 classes, and one binary problem per output otherwise.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.errors import InputError, UnknownNameError


def softplus_negative_magnitude(s: Array) -> Array:
    """log(1 + e^−|s|), the part of softplus that never overflows."""
    return jnp.log1p(jnp.exp(-jnp.abs(s)))


def _columns(s: Array, y: Array) -> Array:
    """Targets as (N, C) in the type of s."""
    return y.reshape(s.shape).astype(s.dtype)


def _one_hot(s: Array, y: Array) -> Array:
    return jax.nn.one_hot(y, s.shape[1], dtype=s.dtype)


def _many_classes(s: Array, y: Array) -> bool:
    return s.shape[1] > 1 and y.ndim == 1


def _mean_over_outputs(each: Array) -> Array:
    return jnp.mean(each, axis=1)


def squared_error(s: Array, y: Array) -> Array:
    """(s − y)², the mean over outputs (no ½)."""
    return _mean_over_outputs((s - _columns(s, y)) ** 2)


def squared_error_gradient(s: Array, y: Array) -> Array:
    """2(s − y)/C."""
    return 2 * (s - _columns(s, y)) / s.shape[1]


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
    return _mean_over_outputs(0.5 * near**2 + delta * (size - near))


def huber_gradient(s: Array, y: Array, delta: float = 1.0) -> Array:
    """e clipped to [−δ, δ], over C."""
    return jnp.clip(s - _columns(s, y), -delta, delta) / s.shape[1]


def log_cosh(s: Array, y: Array) -> Array:
    """log cosh e = |e| + log(1 + e^−2|e|) − log 2, e = s − y; the mean over outputs."""
    size = jnp.abs(s - _columns(s, y))
    return _mean_over_outputs(size + softplus_negative_magnitude(2 * size) - math.log(2))


def log_cosh_gradient(s: Array, y: Array) -> Array:
    """tanh(e)/C."""
    return jnp.tanh(s - _columns(s, y)) / s.shape[1]


def quantile(s: Array, y: Array, q: float = 0.5) -> Array:
    """q·e where e = y − s > 0, (q − 1)e elsewhere; the mean over outputs (Koenker 1978)."""
    error = _columns(s, y) - s
    return _mean_over_outputs(jnp.maximum(q * error, (q - 1) * error))


def quantile_gradient(s: Array, y: Array, q: float = 0.5) -> Array:
    """−q below the target, 1 − q above it, ½ − q at the kink, over C."""
    return (0.5 - q + 0.5 * jnp.sign(s - _columns(s, y))) / s.shape[1]


def poisson(s: Array, y: Array) -> Array:
    """e^s − y s for counts y with rate e^s (log y! left out); the mean over outputs."""
    return _mean_over_outputs(jnp.exp(s) - _columns(s, y) * s)


def poisson_gradient(s: Array, y: Array) -> Array:
    """(e^s − y)/C."""
    return (jnp.exp(s) - _columns(s, y)) / s.shape[1]


def class_probabilities(s: Array, y: Array, label_smoothing: float) -> Array:
    """The target distribution (N, C): one-hot labels, or y itself, smoothed towards uniform."""
    p = _one_hot(s, y) if y.ndim == 1 else y.astype(s.dtype)
    if not label_smoothing:
        return p
    return (1 - label_smoothing) * p + label_smoothing / s.shape[1]


def softmax_cross_entropy(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """−Σ_k y_k log softmax(s)_k, smoothed y_k ← (1 − ε) y_k + ε/C (Szegedy 2016)."""
    log_p = jax.nn.log_softmax(s, axis=1)
    return -jnp.sum(class_probabilities(s, y, label_smoothing) * log_p, axis=1)


def softmax_cross_entropy_gradient(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """(Σ_k y_k) softmax(s) − y, which is p − y for probabilities."""
    target = class_probabilities(s, y, label_smoothing)
    return jnp.sum(target, axis=1, keepdims=True) * jax.nn.softmax(s, axis=1) - target


def sigmoid_cross_entropy(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """max(s, 0) − s y + log(1 + e^−|s|), the sum over outputs; y ← (1 − ε) y + ε/2."""
    target = (1 - label_smoothing) * _columns(s, y) + label_smoothing / 2
    each = jnp.maximum(s, 0) - s * target + softplus_negative_magnitude(s)
    return jnp.sum(each, axis=1)


def sigmoid_cross_entropy_gradient(s: Array, y: Array, label_smoothing: float = 0.0) -> Array:
    """σ(s) − y."""
    target = (1 - label_smoothing) * _columns(s, y) + label_smoothing / 2
    return jax.nn.sigmoid(s) - target


def _runner_up(s: Array, y: Array) -> Array:
    """The scores with the true class taken out of the contest (N, C)."""
    return jnp.where(_one_hot(s, y) > 0, -jnp.inf, s)


def hinge(s: Array, y: Array) -> Array:
    """Σ max(0, 1 − t s), t = 2y − 1; for classes max(0, 1 + max_{k≠y} s_k − s_y) (Crammer 2001)."""
    if _many_classes(s, y):
        own = jnp.sum(_one_hot(s, y) * s, axis=1)
        return jnp.maximum(1 + jnp.max(_runner_up(s, y), axis=1) - own, 0)
    return jnp.sum(jnp.maximum(1 - (2 * _columns(s, y) - 1) * s, 0), axis=1)


def hinge_gradient(s: Array, y: Array) -> Array:
    """−t inside the margin, 0 outside; for classes 1 at the runner-up and −1 at the true class."""
    if _many_classes(s, y):
        inside = (hinge(s, y) > 0)[:, None].astype(s.dtype)
        rival = _one_hot(s, jnp.argmax(_runner_up(s, y), axis=1))
        return inside * (rival - _one_hot(s, y))
    sign = 2 * _columns(s, y) - 1
    return jnp.where(sign * s < 1, -sign, jnp.zeros_like(s))


def _softmax_focal_terms(s: Array, y: Array) -> tuple[Array, Array, Array]:
    """log p_y, p_y and 1 − p_y = Σ_{k≠y} p_k (summed, not subtracted), each (N,)."""
    log_p = jax.nn.log_softmax(s, axis=1)
    hot = _one_hot(s, y)
    log_own = jnp.sum(hot * log_p, axis=1)
    return log_own, jnp.exp(log_own), jnp.sum((1 - hot) * jnp.exp(log_p), axis=1)


def focal(s: Array, y: Array, gamma: float = 2.0) -> Array:
    """−(1 − p)^γ log p, p the probability of the truth (Lin 2017); the sum over binary outputs."""
    if _many_classes(s, y):
        log_own, _, rest = _softmax_focal_terms(s, y)
        return -(rest**gamma) * log_own
    margin = (2 * _columns(s, y) - 1) * s
    return -jnp.sum(jax.nn.sigmoid(-margin) ** gamma * jax.nn.log_sigmoid(margin), axis=1)


def focal_gradient(s: Array, y: Array, gamma: float = 2.0) -> Array:
    """∂E/∂s = g ⊙ (1_y − softmax s), g = (1 − p)^(γ−1) (γ p log p − (1 − p)); binary: t (1 − p) g'.

    From dE/dp = γ(1 − p)^(γ−1) log p − (1 − p)^γ/p and dp/ds_k = p(1_{k=y} − p_k); the binary case
    is the same with dp/ds = t p(1 − p), t = ±1.
    """
    if _many_classes(s, y):
        log_own, own, rest = _softmax_focal_terms(s, y)
        inner = gamma * own * log_own * _power(rest, gamma - 1) - rest**gamma
        return inner[:, None] * (_one_hot(s, y) - jax.nn.softmax(s, axis=1))
    sign = 2 * _columns(s, y) - 1
    p, rest = jax.nn.sigmoid(sign * s), jax.nn.sigmoid(-sign * s)
    return sign * rest**gamma * (gamma * p * jax.nn.log_sigmoid(sign * s) - rest)


def _power(base: Array, exponent: float) -> Array:
    """base^exponent, where 0 to a negative power counts as 0: it only meets factors that are 0."""
    if exponent >= 0:
        return base**exponent
    return jnp.where(base > 0, jnp.maximum(base, jnp.finfo(base.dtype).tiny) ** exponent, 0)


class LossFunction(NamedTuple):
    """Eₙ, ∇Eₙ, what its targets are, and the link from the output to a prediction.

    predict: "identity", "exp", or "probabilities" (softmax for classes, sigmoid for binary).
    """

    value: Callable[..., Array]
    gradient: Callable[..., Array]
    targets: Literal["real", "classes", "binary"]
    predict: Literal["identity", "exp", "softmax", "sigmoid"]


LOSSES: dict[str, LossFunction] = {
    "squared_error": LossFunction(squared_error, squared_error_gradient, "real", "identity"),
    "absolute_error": LossFunction(absolute_error, absolute_error_gradient, "real", "identity"),
    "huber": LossFunction(huber, huber_gradient, "real", "identity"),
    "log_cosh": LossFunction(log_cosh, log_cosh_gradient, "real", "identity"),
    "quantile": LossFunction(quantile, quantile_gradient, "real", "identity"),
    "poisson": LossFunction(poisson, poisson_gradient, "real", "exp"),
    "softmax_cross_entropy": LossFunction(
        softmax_cross_entropy, softmax_cross_entropy_gradient, "classes", "softmax"
    ),
    "sigmoid_cross_entropy": LossFunction(
        sigmoid_cross_entropy, sigmoid_cross_entropy_gradient, "binary", "sigmoid"
    ),
    "hinge": LossFunction(hinge, hinge_gradient, "classes", "softmax"),
    "focal": LossFunction(focal, focal_gradient, "classes", "softmax"),
}


OPTION_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "delta": ("is positive and finite", lambda v: 0 < v < math.inf),
    "q": ("lies in (0, 1)", lambda v: 0 < v < 1),
    "label_smoothing": ("lies in [0, 1)", lambda v: 0 <= v < 1),
    "gamma": ("is at least 0 and finite", lambda v: 0 <= v < math.inf),
}


@dataclass(frozen=True)
class Loss:
    """A loss by name with its options, hashable: `Loss("huber", (("delta", 2.0),))`.

    `get_loss("huber", delta=2.0)` is the usual way to make one.
    """

    name: str
    options: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise UnknownNameError("loss", self.name, LOSSES)
        known = list(inspect.signature(self.function.value).parameters)[2:]
        for option, value in self.options:
            if option not in known:
                raise UnknownNameError(f"option of the loss '{self.name}'", option, known)
            where, fits = OPTION_RANGES[option]
            if not fits(value):
                raise InputError(f"The {option} of the loss {self.name} {where}, not {value}.")

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value:g}" for name, value in self.options)
        return f"{self.name}({options})" if options else self.name

    @property
    def function(self) -> LossFunction:
        """The row of the table."""
        return LOSSES[self.name]

    def value(self, output: Float[Array, "N C"], y: Array) -> Float[Array, " N"]:
        """Eₙ of each example."""
        return self.function.value(output, y, **dict(self.options))

    def gradient(self, output: Float[Array, "N C"], y: Array) -> Float[Array, "N C"]:
        """∂Eₙ/∂s of each example's own loss."""
        return self.function.gradient(output, y, **dict(self.options))

    def predict(
        self, output: Float[Array, "N C"], *, one_by_one: bool = False
    ) -> Float[Array, "N C"]:
        """The prediction that the loss trains for: probabilities, a rate, or the output itself.

        One output of a classification loss gives P(class 1); one_by_one: each of several does, as
        for `hinge` and `focal` on columns of 0 and 1. (The scores of `hinge` have no probability;
        these only put them in order.)
        """
        link = self.function.predict
        if link == "softmax" and (one_by_one or output.shape[1] == 1):
            link = "sigmoid"
        links = {"identity": lambda s: s, "exp": jnp.exp, "sigmoid": jax.nn.sigmoid}
        return jax.nn.softmax(output, axis=1) if link == "softmax" else links[link](output)


def get_loss(name: str, **options: float) -> Loss:
    """The loss of that name; `UnknownNameError` lists the known ones, or its options."""
    return Loss(name, tuple(sorted(options.items())))


def check_targets(loss: Loss, y: Any, n_outputs: int) -> None:
    """InputError unless the targets' shape fits the loss and the network's outputs."""
    kind = loss.function.targets
    if loss.name == "softmax_cross_entropy" and n_outputs == 1:
        raise InputError(
            "softmax_cross_entropy needs an output for each class, at least 2; "
            "for a single output take sigmoid_cross_entropy."
        )
    if y.ndim == 1 and kind == "classes":
        return
    if y.ndim == 1 and n_outputs == 1:
        return
    if y.ndim == 2 and y.shape[1] == n_outputs:
        return
    labels = "labels (N,) or " if kind == "classes" else ""
    raise InputError(
        f"The loss {loss} over {n_outputs} outputs cannot take targets of shape "
        f"{tuple(y.shape)}; give {labels}(N, {n_outputs})."
    )
