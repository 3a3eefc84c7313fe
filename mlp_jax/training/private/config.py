"""Options of a private training: the budget (ε, δ) and the clip of each example's gradient."""

import math
from dataclasses import dataclass, field, replace

from mlp_jax.errors import InputError
from mlp_jax.training.engine.program import DRAW_RANGE
from mlp_jax.training.optim.optimizers import Optimizer

LEARNING_RATES = {"adam": 2e-3, "adamw": 2e-3, "sgd": 1.0, "momentum": 0.1}  # docs/private.md


@dataclass(frozen=True)
class Privacy:
    """(ε, δ)-differential privacy of the training rows (Dwork 2006), reached by DP-SGD.

    Whatever set S of models one looks at, P(model in S) ≤ e^ε P'(model in S) + δ, P and P' being
    with and without any one of the rows. clip: the bound on the norm of each example's gradient.
    seed: for tests of the draws alone; a model trained with one is marked as not private, for who
    knows the seed knows the noise. Raises InputError.
    """

    epsilon: float
    delta: float
    clip: float = 1.0
    seed: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name, value in (("An epsilon", self.epsilon), ("A clip of examples", self.clip)):
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} is a positive number, not {value}.")
        if not 0 < self.delta < 1:
            raise InputError(f"A delta lies between 0 and 1, not {self.delta}.")


def with_usual_rate(optimizer: Optimizer) -> Optimizer:
    """The optimizer, at a rate that suits clipped and noised gradients where none was said."""
    rate = LEARNING_RATES.get(optimizer.name)
    return replace(optimizer, learning_rate=rate) if optimizer.learning_rate is None else optimizer


def last_draw(batch_size: int, n: int) -> int:
    """The largest draw that takes a row, so that q = (last + 1)/2³² is at most batch_size/n."""
    return max(batch_size * DRAW_RANGE // n, 1) - 1
