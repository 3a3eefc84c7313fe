"""Options of private training: budget (ε, δ) and clipping norm."""

import math
from dataclasses import dataclass, field, replace

from mlp_jax.errors import InputError
from mlp_jax.training.engine.program import DRAW_RANGE
from mlp_jax.training.optim.optimizers import Optimizer

LEARNING_RATES = {"adam": 2e-3, "adamw": 2e-3, "sgd": 1.0, "momentum": 0.1}  # docs/private.md


@dataclass(frozen=True)
class Privacy:
    """(ε, δ)-differential privacy of the training rows (Dwork 2006), by DP-SGD.

    For every set S of models, P(model in S) ≤ e^ε P'(model in S) + δ, where P and P' are the
    distributions with and without any one row.

    Args:
        epsilon: privacy budget ε.
        delta: failure probability δ.
        clip: bound on the norm of the gradient of each example.
        seed: seed of the draws, for tests only. A model trained with one is marked as not private,
            because the seed reveals the noise.

    Raises:
        InputError: for a value out of range.
    """

    epsilon: float
    delta: float
    clip: float = 1.0
    seed: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name, value in (("Epsilon", self.epsilon), ("The clip of examples", self.clip)):
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} must be positive, not {value}.")
        if not 0 < self.delta < 1:
            raise InputError(f"Delta must lie between 0 and 1, not {self.delta}.")


def with_usual_rate(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer with a default learning rate for clipped and noised gradients."""
    rate = LEARNING_RATES.get(optimizer.name)
    return replace(optimizer, learning_rate=rate) if optimizer.learning_rate is None else optimizer


def last_draw(batch_size: int, n: int) -> int:
    """Return the largest draw that selects a row: q = (last + 1)/2³² ≤ batch_size/n."""
    return max(batch_size * DRAW_RANGE // n, 1) - 1
