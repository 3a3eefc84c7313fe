"""MNIST-1D: ten signals, padded, scaled, moved, sheared and noisy, made from a fixed seed.

Source: Greydanus, "Scaling down deep learning", arXiv:2011.14439, 2020, section 2; the constants
and the order of the random draws are those of the author's package `mnist1d`, so that the arrays
are its arrays.

Letters: N signals, T points of time.
"""

import numpy as np
from jaxtyping import Float64

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset

_SEED = 42
_PER_CLASS = 500
_TRAINING_SHARE = 0.8
_LEAST_PADDING, _MOST_PADDING = 36, 60
_LONGEST_MOVE = 48
_SCALE, _SHEAR = 0.4, 0.75
_NOISE_ALONG, _NOISE_EACH = 0.25, 2e-2
_SMOOTHING = 2
_LENGTH = 40
_NEARLY_ZERO = 1e-8  # tells the signal's own zeros from those of the padding
_STROKES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


def load_mnist1d() -> Dataset:
    """4000 training and 1000 test signals, float64 (N, 40), of ten classes."""
    draws = np.random.RandomState(_SEED)
    x = _signals(draws)
    y = np.repeat(np.arange(len(_STROKES)), _PER_CLASS)
    order = draws.permutation(len(y))
    x, y = x[order], y[order]
    x = (x - x.mean()) / x.std()
    n_train = int(len(y) * _TRAINING_SHARE)
    return from_arrays(
        "mnist1d",
        x[:n_train],
        y[:n_train],
        test=(x[n_train:], y[n_train:]),
        task="classification",
        classes=tuple("0123456789"),
    )


def _templates() -> Float64[np.ndarray, "10 12"]:
    """Each class's signal: standardized, and moved to start at 0."""
    x = np.array(_STROKES, np.float64)
    x -= x.mean(axis=1, keepdims=True)
    x /= x.std(axis=1, keepdims=True)
    x -= x[:, :1]
    return x / 6.0


def _signals(draws: np.random.RandomState) -> Float64[np.ndarray, "N T"]:
    """All signals, class after class. Noise that is smooth in time fills what is padding."""
    from scipy.ndimage import gaussian_filter1d

    templates = _templates()
    n, n_points = len(templates) * _PER_CLASS, templates.shape[1] + _MOST_PADDING
    x, along, each = (np.empty((n, n_points)) for _ in range(3))
    shear = np.empty((n, 1))
    for i in range(n):
        x[i] = _placed(templates[i // _PER_CLASS], n_points, draws)
        along[i] = draws.randn(n_points)
        each[i] = draws.randn(n_points)
        shear[i] = draws.rand()
    along = gaussian_filter1d(_NOISE_ALONG * along, _SMOOTHING, axis=1)
    x = np.where(x != 0, x, along) + _NOISE_EACH * each
    x -= _SHEAR * (shear - 0.5) * np.linspace(-0.5, 0.5, n_points)
    return np.stack([_stretched(signal, _LENGTH) for signal in x])


def _placed(
    template: Float64[np.ndarray, " T"], n_points: int, draws: np.random.RandomState
) -> Float64[np.ndarray, " points"]:
    """A template with zeros behind it, stretched to n_points, scaled, and moved around."""
    padding = _LEAST_PADDING + int(draws.rand() * (_MOST_PADDING - _LEAST_PADDING + 1))
    padded = np.concatenate([template + _NEARLY_ZERO, np.zeros(padding)])
    scaled = _stretched(padded, n_points) * (1 + _SCALE * (draws.rand() - 0.5))
    return np.roll(scaled, draws.choice(_LONGEST_MOVE))


def _stretched(signal: Float64[np.ndarray, " T"], n_points: int) -> Float64[np.ndarray, " points"]:
    """The signal at n_points evenly spaced times, interpolated linearly."""
    times = np.linspace(0, 1, len(signal))
    return np.interp(np.linspace(0, 1, n_points), times, signal)
