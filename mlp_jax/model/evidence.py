"""Prior precision and noise of a Laplace approximation that maximize the marginal likelihood.

Letters: P weights θ with prior N(0, 1/τ), M targets (rows times outputs). With H = V/σ² the
curvature of the −log likelihood, vᵢ the eigenvalues of V (its entries if it is diagonal), the
log evidence is (MacKay 1992, "A Practical Bayesian Framework for Backpropagation Networks")

    log p(y | τ, σ²) ≈ log p(y | θ, σ²) − ½ τ‖θ‖² + ½ Σᵢ log(τ/(vᵢ/σ² + τ)),

and γ = Σᵢ vᵢ/(vᵢ + σ²τ) is the effective number of parameters. A classification has σ² = 1. All in
NumPy, float64.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

LEAST = 1e-10
_RANGE = (math.log(LEAST), -math.log(LEAST))
_ROUNDS = 500
_CLOSE = 1e-12


def determined(values: Float[np.ndarray, " P"], prior: float, noise: float) -> float:
    """Return γ, the effective number of parameters."""
    return float(np.sum(values / (values + noise * prior)))


def log_prior_share(
    values: Float[np.ndarray, " P"], square: float, prior: float, noise: float
) -> float:
    """Return −½ τ‖θ‖² + ½ Σ log(τ/(v/σ² + τ)), the Occam factor of the evidence."""
    return -0.5 * prior * square - 0.5 * float(np.sum(np.log1p(values / (noise * prior))))


def choose_prior(values: Float[np.ndarray, " P"], square: float, noise: float = 1.0) -> float:
    """Return the τ that maximizes the evidence, the root of τ‖θ‖² = γ (MacKay 1992).

    The left side increases with τ and the right side decreases, so the root is unique. square:
    ‖θ‖².
    """
    return _root(lambda tau: tau * square - determined(values, tau, noise))


def choose_both(
    values: Float[np.ndarray, " P"], square: float, squared_errors: float, n: int
) -> tuple[float, float]:
    """Return τ and σ² of a regression with n targets and this sum of squared errors.

    Alternates until both converge: τ as in `choose_prior`, and σ² = squared_errors/(n − γ), whose
    root is unique since squared_errors/σ² decreases with σ² and n − γ increases.
    """
    prior, noise = 1.0, max(squared_errors / n, LEAST)

    def rising(noise: float) -> float:
        return n - determined(values, prior, noise) - squared_errors / noise

    for _ in range(_ROUNDS):
        before = prior, noise
        prior = choose_prior(values, square, noise)
        noise = _root(rising)
        if math.isclose(prior, before[0], rel_tol=_CLOSE) and math.isclose(
            noise, before[1], rel_tol=_CLOSE
        ):
            break
    return prior, noise


def _root(rising: Callable[[float], float]) -> float:
    """Return the positive root of an increasing function; else the nearer end of the range."""
    from scipy.optimize import brentq

    low, high = _RANGE
    if rising(math.exp(low)) >= 0:
        return math.exp(low)
    if rising(math.exp(high)) <= 0:
        return math.exp(high)
    return math.exp(
        brentq(lambda place: rising(math.exp(place)), low, high, xtol=1e-14, rtol=1e-14)
    )
