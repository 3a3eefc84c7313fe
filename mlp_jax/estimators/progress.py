"""When scikit-learn's solvers stop, and how their learning rate falls: host arithmetic."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SMALLEST_RATE = 1e-6


class Verdict(NamedTuple):
    """What an epoch came to: the progress so far, and whether its weights are the best."""

    progress: "Progress"
    best: bool


@dataclass(frozen=True)
class Progress:
    """The best loss or validation score so far, and the epochs since it got better by `tol`."""

    best_loss: float = math.inf
    best_score: float = -math.inf
    stale: int = 0

    def after_loss(self, loss: float, tol: float) -> Verdict:
        """After an epoch that is judged by its training loss."""
        stale = self.stale + 1 if loss > self.best_loss - tol else 0
        best = loss < self.best_loss
        return Verdict(replace(self, best_loss=loss if best else self.best_loss, stale=stale), best)

    def after_score(self, score: float, tol: float) -> Verdict:
        """After an epoch that is judged by its validation score."""
        stale = self.stale + 1 if score < self.best_score + tol else 0
        best = score > self.best_score
        return Verdict(
            replace(self, best_score=score if best else self.best_score, stale=stale), best
        )


@dataclass(frozen=True)
class Rate:
    """The learning rate of gradient descent and its rule: constant, invscaling or adaptive."""

    initial: float
    rule: str
    power: float
    now: float

    def after_epoch(self, seen: int) -> "Rate":
        """invscaling: η₀/(t + 1)^power, where t counts the examples seen so far."""
        if self.rule != "invscaling":
            return self
        return replace(self, now=float(self.initial) / (seen + 1) ** self.power)

    def after_stall(self, message: str, verbose: bool) -> "Rate | None":
        """adaptive: a fifth of it, until it is too small; None where training is to stop."""
        if self.rule != "adaptive" or self.now <= SMALLEST_RATE:
            small = " Learning rate too small." if self.rule == "adaptive" else ""
            if verbose:
                print(f"{message}{small} Stopping.")
            return None
        lower = replace(self, now=self.now / 5.0)
        if verbose:
            print(f"{message} Setting learning rate to {lower.now:f}")
        return lower


def stall_message(tol: float, epochs: float, *, validation: bool) -> str:
    """Why training stops, in scikit-learn's words."""
    what = "Validation score" if validation else "Training loss"
    return f"{what} did not improve more than tol={tol:f} for {epochs:.0f} consecutive epochs."


def next_order(order: np.ndarray, shuffle: bool, random: np.random.RandomState) -> np.ndarray:
    """The order of the rows in the next epoch, as `sklearn.utils.shuffle` draws it."""
    if not shuffle:
        return order
    places = np.arange(len(order))
    random.shuffle(places)
    return order[places]
