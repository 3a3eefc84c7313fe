"""What a private training is asked for, and the rule that its steps follow."""

import math
from dataclasses import dataclass, field, replace

from mlp_jax.errors import InputError
from mlp_jax.training.optim.optimizers import Optimizer

DRAWS = 1 << 32
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


@dataclass(frozen=True)
class Rule:
    """What a private step does, as the static half of its program.

    clip: the bound on each example's gradient. noise: the standard deviation of the noise, as a
    multiple of it. last: a row is in the batch where its draw of 32 bits is at most this.
    capacity: rows that a batch has room for.
    """

    clip: float
    noise: float
    last: int
    capacity: int

    @property
    def sampling(self) -> float:
        """q, the probability that a row is in a batch, exactly."""
        return (self.last + 1) / DRAWS


def with_usual_rate(optimizer: Optimizer) -> Optimizer:
    """The optimizer, at a rate that suits clipped and noised gradients where none was said."""
    rate = LEARNING_RATES.get(optimizer.name)
    return replace(optimizer, learning_rate=rate) if optimizer.learning_rate is None else optimizer


def last_draw(batch_size: int, n: int) -> int:
    """The largest draw that takes a row, so that q = (last + 1)/2³² is at most batch_size/n."""
    return max(batch_size * DRAWS // n, 1) - 1
