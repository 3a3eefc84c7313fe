"""Activations and losses as functions of plain numbers, with Python's `math`: no JAX, no arrays.

ACTIVATION_SCALARS: name -> (f, f').  LOSS_SCALARS: name -> (Eₙ, ∂Eₙ/∂s_k), the outputs s a list,
the target y a list, or an integer label. Written for moderate numbers, not for extreme ones.
"""

import math
from collections.abc import Callable, Sequence

Scalar = Callable[[float], float]
Values = Sequence[float]


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _gelu_argument(z: float) -> float:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def _gelu_slope(z: float) -> float:
    t = math.tanh(_gelu_argument(z))
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z)
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * du


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _normal_density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _mish_slope(z: float) -> float:
    t = math.tanh(_softplus(z))
    return t + z * (1 - t * t) * _sigmoid(z)


_SELU_L, _SELU_A = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTIVATION_SCALARS: dict[str, tuple[Scalar, Scalar]] = {
    "identity": (lambda z: z, lambda z: 1.0),
    "relu": (lambda z: max(z, 0.0), lambda z: 1.0 if z > 0 else 0.0),
    "leaky_relu": (lambda z: z if z >= 0 else 0.01 * z, lambda z: 1.0 if z >= 0 else 0.01),
    "relu6": (lambda z: min(max(z, 0.0), 6.0), lambda z: 1.0 if 0 < z < 6 else 0.0),
    "squared_relu": (lambda z: max(z, 0.0) ** 2, lambda z: 2 * max(z, 0.0)),
    "elu": (lambda z: z if z > 0 else math.expm1(z), lambda z: 1.0 if z > 0 else math.exp(z)),
    "selu": (
        lambda z: _SELU_L * (z if z > 0 else _SELU_A * math.expm1(z)),
        lambda z: _SELU_L * (1.0 if z > 0 else _SELU_A * math.exp(z)),
    ),
    "celu": (lambda z: z if z > 0 else math.expm1(z), lambda z: 1.0 if z > 0 else math.exp(z)),
    "gelu": (lambda z: 0.5 * z * (1 + math.tanh(_gelu_argument(z))), _gelu_slope),
    "gelu_exact": (
        lambda z: z * _normal_cdf(z),
        lambda z: _normal_cdf(z) + z * _normal_density(z),
    ),
    "silu": (
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) + z * _sigmoid(z) * _sigmoid(-z),
    ),
    "mish": (lambda z: z * math.tanh(_softplus(z)), _mish_slope),
    "tanh": (math.tanh, lambda z: 1 / math.cosh(z) ** 2),
    "hard_tanh": (lambda z: min(max(z, -1.0), 1.0), lambda z: 1.0 if -1 <= z <= 1 else 0.0),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "hard_sigmoid": (
        lambda z: min(max(z + 3, 0.0), 6.0) / 6,
        lambda z: 1 / 6 if -3 < z < 3 else 0.0,
    ),
    "softplus": (_softplus, _sigmoid),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "log_sigmoid": (lambda z: -_softplus(-z), lambda z: _sigmoid(-z)),
}


def _softmax(s: Values) -> list[float]:
    top = max(s)
    powers = [math.exp(v - top) for v in s]
    return [p / sum(powers) for p in powers]


def _sign(t: float) -> float:
    return (t > 0) - (t < 0)


def _rival(s: Values, label: int) -> int:
    return max((k for k in range(len(s)) if k != label), key=lambda k: s[k])


def _smoothed(y: Values, smoothing: float) -> list[float]:
    return [(1 - smoothing) * v + smoothing / len(y) for v in y]


def _hinge(s: Values, y: Values | int) -> float:
    if isinstance(y, int):
        return max(0.0, 1 + s[_rival(s, y)] - s[y])
    return sum(max(0.0, 1 - (2 * t - 1) * v) for v, t in zip(s, y, strict=True))


def _hinge_slope(s: Values, y: Values | int, k: int) -> float:
    if isinstance(y, int):
        inside = 1 + s[_rival(s, y)] - s[y] > 0
        return inside * (float(k == _rival(s, y)) - float(k == y))
    t = 2 * y[k] - 1
    return -t if t * s[k] < 1 else 0.0


def _focal(s: Values, y: Values | int, gamma: float = 2.0) -> float:
    if isinstance(y, int):
        p = _softmax(s)[y]
        return -((1 - p) ** gamma) * math.log(p)
    chances = [_sigmoid((2 * t - 1) * v) for v, t in zip(s, y, strict=True)]
    return -sum((1 - p) ** gamma * math.log(p) for p in chances)


def _focal_slope(s: Values, y: Values | int, k: int, gamma: float = 2.0) -> float:
    def slope_in_p(p: float) -> float:
        return gamma * (1 - p) ** (gamma - 1) * math.log(p) - (1 - p) ** gamma / p

    if isinstance(y, int):
        p = _softmax(s)
        return slope_in_p(p[y]) * p[y] * (float(k == y) - p[k])
    t = 2 * y[k] - 1
    p_k = _sigmoid(t * s[k])
    return slope_in_p(p_k) * t * p_k * (1 - p_k)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _regression(
    each: Callable[..., float], slope: Callable[..., float]
) -> tuple[Callable[..., float], Callable[..., float]]:
    """Eₙ = mean over outputs of each(e), e = s − y, and its derivative in s_k."""

    def value(s: Values, y: Values, **options: float) -> float:
        return _mean([each(v - t, **options) for v, t in zip(s, y, strict=True)])

    def derivative(s: Values, y: Values, k: int, **options: float) -> float:
        return slope(s[k] - y[k], **options) / len(s)

    return value, derivative


def _huber(e: float, delta: float = 1.0) -> float:
    return 0.5 * e * e if abs(e) <= delta else delta * (abs(e) - 0.5 * delta)


def _quantile(e: float, q: float = 0.5) -> float:
    return -q * e if e < 0 else (1 - q) * e


def _distribution(s: Values, y: Values | int, smoothing: float) -> list[float]:
    target = [float(k == y) for k in range(len(s))] if isinstance(y, int) else list(y)
    return _smoothed(target, smoothing)


def _cross_entropy(s: Values, y: Values | int, label_smoothing: float = 0.0) -> float:
    target = _distribution(s, y, label_smoothing)
    return -sum(t * math.log(p) for t, p in zip(target, _softmax(s), strict=True))


def _cross_entropy_slope(s: Values, y: Values | int, k: int, label_smoothing: float = 0.0) -> float:
    target = _distribution(s, y, label_smoothing)
    return sum(target) * _softmax(s)[k] - target[k]


def _binary(s: Values, y: Values, label_smoothing: float = 0.0) -> float:
    target = [(1 - label_smoothing) * t + label_smoothing / 2 for t in y]
    return sum(
        -t * math.log(_sigmoid(v)) - (1 - t) * math.log(_sigmoid(-v))
        for v, t in zip(s, target, strict=True)
    )


def _binary_slope(s: Values, y: Values, k: int, label_smoothing: float = 0.0) -> float:
    return _sigmoid(s[k]) - (1 - label_smoothing) * y[k] - label_smoothing / 2


LOSS_SCALARS: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "squared_error": _regression(lambda e: e * e, lambda e: 2 * e),
    "absolute_error": _regression(abs, _sign),
    "huber": _regression(_huber, lambda e, delta=1.0: max(-delta, min(delta, e))),
    "log_cosh": _regression(lambda e: math.log(math.cosh(e)), math.tanh),
    "quantile": _regression(_quantile, lambda e, q=0.5: -q if e < 0 else 1 - q),
    "poisson": (
        lambda s, y: _mean([math.exp(v) - t * v for v, t in zip(s, y, strict=True)]),
        lambda s, y, k: (math.exp(s[k]) - y[k]) / len(s),
    ),
    "softmax_cross_entropy": (_cross_entropy, _cross_entropy_slope),
    "sigmoid_cross_entropy": (_binary, _binary_slope),
    "hinge": (_hinge, _hinge_slope),
    "focal": (_focal, _focal_slope),
}
