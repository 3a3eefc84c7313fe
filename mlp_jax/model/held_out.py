"""Prior precision and noise of a Laplace approximation, chosen on held-out rows.

The evidence trusts the Gaussian and the fit to the training rows. For a network that fits those
nearly perfectly it overestimates the uncertainty on new rows, so held-out rows choose instead (as
by cross-validation in Daxberger 2021).

Letters: M held-out rows, C outputs, ρ = σ²τ. The covariance of the weights is σ²(V + ρ)⁻¹, V the
curvature at σ² = 1, so that an output has variance σ² q and a new observation σ²(1 + q).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

GRID = 10.0 ** np.arange(6, -2.25, -0.5)
_LEAST = 1e-12


class HeldOutScore(NamedTuple):
    """Negative log likelihood of each held-out row at one ρ (M,), and the matching σ²."""

    losses: Float[np.ndarray, " M"]
    noise: float


def choose(judge: Callable[[float], HeldOutScore]) -> tuple[float, float]:
    """Return (τ, σ²) of the smallest ρ within one standard error of the best.

    This is the one-standard-error rule of Breiman 1984, applied in favour of the wider distribution
    of the weights.
    """
    found = {float(rho): judge(float(rho)) for rho in GRID}
    best = min(found.values(), key=lambda judged: float(np.mean(judged.losses)))
    bound = np.mean(best.losses) + np.std(best.losses) / np.sqrt(len(best.losses))
    rho = min(rho for rho, judged in found.items() if np.mean(judged.losses) <= bound)
    return rho / found[rho].noise, found[rho].noise


def judge_classes(p: Float[np.ndarray, "M C"], y: np.ndarray) -> HeldOutScore:
    """Score class probabilities on labels (M,) or distributions (M, C)."""
    log_p = np.log(np.maximum(p.astype(np.float64), _LEAST))
    if y.ndim == 1:
        return HeldOutScore(-log_p[np.arange(len(y)), y], 1.0)
    return HeldOutScore(-np.sum(y * log_p, axis=1), 1.0)


def judge_labels(p: Float[np.ndarray, "M C"], y: np.ndarray) -> HeldOutScore:
    """Score independent probabilities on targets of 0 and 1."""
    p = p.astype(np.float64)
    y = y.reshape(p.shape)
    log_on, log_off = (np.log(np.maximum(v, _LEAST)) for v in (p, 1 - p))
    return HeldOutScore(-np.sum(y * log_on + (1 - y) * log_off, axis=1), 1.0)


def judge_numbers(
    s: Float[np.ndarray, "M C"], q: Float[np.ndarray, "M C"], y: np.ndarray
) -> HeldOutScore:
    """Score a normal with mean s and variance σ²(1 + q) on y, at the σ² of maximum likelihood."""
    spread = 1 + q.astype(np.float64)
    squares = (y.reshape(s.shape) - s.astype(np.float64)) ** 2 / spread
    noise = max(float(np.mean(squares)), _LEAST)
    each = 0.5 * (np.log(2 * np.pi * noise * spread) + squares / noise)
    return HeldOutScore(np.sum(each, axis=1), noise)
