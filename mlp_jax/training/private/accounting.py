"""Privacy accounting by privacy loss distributions (dp-accounting), and the batch capacity.

The mechanism of a step is Gaussian on a Poisson sample: each row with probability q, noise of σ
times the sensitivity. Steps are composed by their privacy loss distributions (Koskela 2020; here in
the upper bound of Doroshenko 2022), which gives about a tenth less ε than Rényi divergences.
Neighbouring data sets differ by one additional row.
"""

import importlib.util
import math
from dataclasses import dataclass
from typing import Any

from mlp_jax.errors import InputError
from mlp_jax.training.engine.program import DPStepSpec
from mlp_jax.training.private.config import Privacy, last_draw

OVERFLOW_SHARE = 0.01  # share of δ for batches that exceed their capacity
INTERVAL = 1e-3  # discretization of the privacy losses, rounded up
MOST_STEPS_FOR_IT = 10_000
CLOSE_ENOUGH = 1e-3  # relative tolerance of σ
MULTIPLE = 8  # of rows that a capacity is rounded up to


def check_accountant() -> None:
    """Raise InputError if dp-accounting is not installed."""
    if importlib.util.find_spec("dp_accounting") is None:
        raise InputError(
            "Private training needs the package dp-accounting: pip install 'mlp-jax[private]'."
        )


@dataclass(frozen=True)
class Account:
    """Privacy account of a run: budget, specification of a step, number of steps.

    n: training rows. steps: of the whole run, for which the noise was chosen.
    """

    privacy: Privacy
    spec: DPStepSpec
    n: int
    batch_size: int
    steps: int

    def __str__(self) -> str:
        budget, spec = self.privacy, self.spec
        return (
            f"private: epsilon {budget.epsilon:g} at delta {budget.delta:g} for {self.steps} steps;"
            f" noise {spec.noise:.3f} × clip {spec.clip:g}, rows drawn with q = {spec.sampling:.4f}"
            f" ({self.batch_size} expected, capacity {spec.capacity})"
        )

    def epsilon(self, steps: int) -> float:
        """Return ε after this many steps at the δ of the budget; 0 for none, NaN with a seed."""
        if self.privacy.seed is not None:
            return math.nan
        delta = self.privacy.delta * (1 - OVERFLOW_SHARE)
        return spent(self.spec.noise, self.spec.sampling, steps, delta) if steps else 0.0

    def metadata(self) -> dict[str, Any]:
        """Return the account as JSON."""
        if self.privacy.seed is not None:
            return {"epsilon": None, "reason": "seeded noise"}
        return {
            "epsilon": self.epsilon(self.steps),
            "delta": self.privacy.delta,
            "asked_epsilon": self.privacy.epsilon,
            "clip": self.spec.clip,
            "noise_multiplier": self.spec.noise,
            "sampling_probability": self.spec.sampling,
            "expected_batch_size": self.batch_size,
            "batch_capacity": self.spec.capacity,
            "steps": self.steps,
            "neighbours": "training rows with and without one of them",
            "accountant": "dp-accounting, privacy loss distribution",
        }


def open_account(privacy: Privacy, n: int, batch_size: int, steps: int) -> Account:
    """Return the account of a run, with the least noise that meets the budget.

    batch_size: the expected one. Raises InputError for δ of 1/n or more, which a mechanism
    satisfies that publishes a random row.
    """
    check_accountant()
    if privacy.delta >= 1 / n:
        raise InputError(
            f"Delta must be less than 1/rows, here {1 / n:.2g}; {privacy.delta:g} protects no row."
        )
    last = last_draw(batch_size, n)
    sampling = DPStepSpec(privacy.clip, 0.0, last, n).sampling
    # If the run overflows with probability p, P ≤ e^ε P' + δ' for unbounded batches implies
    # P ≤ e^ε P' + δ' + (1 + e^ε) p.
    allowed = OVERFLOW_SHARE * privacy.delta / (1 + math.exp(min(privacy.epsilon, 700.0)))
    spec = DPStepSpec(
        privacy.clip,
        noise_for(privacy.epsilon, privacy.delta * (1 - OVERFLOW_SHARE), sampling, steps),
        last,
        capacity(n, sampling, steps, allowed),
    )
    return Account(privacy=privacy, spec=spec, n=n, batch_size=batch_size, steps=steps)


def spent(noise: float, sampling: float, steps: int, delta: float) -> float:
    """Return an upper bound of ε for `steps` Gaussian mechanisms on Poisson samples, at δ."""
    from dp_accounting.pld import PLDAccountant

    interval = INTERVAL if steps <= MOST_STEPS_FOR_IT else INTERVAL / 10
    accountant = PLDAccountant(value_discretization_interval=interval)
    return float(accountant.compose(_event(noise, sampling, steps)).get_epsilon(delta))


def noise_for(epsilon: float, delta: float, sampling: float, steps: int) -> float:
    """Return the least σ, to a thousandth, for which the steps spend at most ε at δ."""
    most = 1.0
    while spent(most, sampling, steps, delta) > epsilon:
        most *= 2
    least = most / 2
    while spent(least, sampling, steps, delta) <= epsilon:
        least, most = least / 2, least
    while most - least > CLOSE_ENOUGH * most:
        middle = (least + most) / 2
        if spent(middle, sampling, steps, delta) > epsilon:
            least = middle
        else:
            most = middle
    return most


def capacity(n: int, sampling: float, steps: int, probability: float) -> int:
    """Return the batch capacity that a run exceeds with at most `probability`.

    Computed from the exact tail of the binomial distribution over n + 1 rows, the larger neighbour,
    and a union bound over the steps.
    """
    from scipy.stats import binom

    found = int(binom.isf(probability / steps, n + 1, sampling))
    while found <= n and steps * binom.sf(found, n + 1, sampling) > probability:
        found += 1
    return min(-(-found // MULTIPLE) * MULTIPLE, n + 1)


def _event(noise: float, sampling: float, steps: int) -> Any:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent

    return SelfComposedDpEvent(PoissonSampledDpEvent(sampling, GaussianDpEvent(noise)), steps)
