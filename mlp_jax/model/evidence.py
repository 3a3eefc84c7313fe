"""Prior precision and noise of a Laplace approximation, where the marginal likelihood is greatest.

Letters: P weights θ with prior N(0, 1/τ), M targets (rows times outputs). With H = V/σ² the
curvature of the −log likelihood, vᵢ the eigenvalues of V (its entries where it is diagonal), the
log evidence is (MacKay 1992, "A Practical Bayesian Framework for Backpropagation Networks")

    log p(y | τ, σ²) ≈ log p(y | θ, σ²) − ½ τ‖θ‖² + ½ Σᵢ log(τ/(vᵢ/σ² + τ)),

and γ = Σᵢ vᵢ/(vᵢ + σ²τ) counts the weights that the data determine. The noise of a classification
is σ² = 1. All in NumPy, float64.
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
    """γ, how many weights the data determine rather than the prior."""
    return float(np.sum(values / (values + noise * prior)))


def log_prior_share(
    values: Float[np.ndarray, " P"], square: float, prior: float, noise: float
) -> float:
    """−½ τ‖θ‖² + ½ Σ log(τ/(v/σ² + τ)): what the prior takes from the log likelihood."""
    return -0.5 * prior * square - 0.5 * float(np.sum(np.log1p(values / (noise * prior))))


def choose_prior(values: Float[np.ndarray, " P"], square: float, noise: float = 1.0) -> float:
    """τ of the greatest evidence, where τ‖θ‖² = γ (MacKay 1992).

    The left side grows with τ and the right side falls, so there is but one such τ. square: ‖θ‖².
    """
    return _root(lambda tau: tau * square - determined(values, tau, noise))


def choose_both(
    values: Float[np.ndarray, " P"], square: float, squared_errors: float, n: int
) -> tuple[float, float]:
    """τ and σ² of a regression with n targets and this sum of squared errors.

    In turn until neither moves: τ as above, and σ² where it is squared_errors/(n − γ), of which
    again there is but one, for squared_errors/σ² falls with σ² and n − γ grows.
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
    """Where a rising function of a positive number is 0; else the nearer end of the range."""
    from scipy.optimize import brentq

    low, high = _RANGE
    if rising(math.exp(low)) >= 0:
        return math.exp(low)
    if rising(math.exp(high)) <= 0:
        return math.exp(high)
    return math.exp(
        brentq(lambda place: rising(math.exp(place)), low, high, xtol=1e-14, rtol=1e-14)
    )
