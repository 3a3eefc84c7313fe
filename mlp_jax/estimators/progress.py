"""Stopping and learning rate rules of scikit-learn's solvers: host arithmetic."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SMALLEST_RATE = 1e-6


class Verdict(NamedTuple):
    """Judgement of an epoch: the progress so far, and whether its weights are the best."""

    progress: "Progress"
    best: bool


@dataclass(frozen=True)
class Progress:
    """Best loss or validation score so far, and the epochs since it improved by `tol`."""

    best_loss: float = math.inf
    best_score: float = -math.inf
    stale: int = 0

    def after_loss(self, loss: float, tol: float) -> Verdict:
        """Update after an epoch that is judged by its training loss."""
        stale = self.stale + 1 if loss > self.best_loss - tol else 0
        best = loss < self.best_loss
        return Verdict(replace(self, best_loss=loss if best else self.best_loss, stale=stale), best)

    def after_score(self, score: float, tol: float) -> Verdict:
        """Update after an epoch that is judged by its validation score."""
        stale = self.stale + 1 if score < self.best_score + tol else 0
        best = score > self.best_score
        return Verdict(
            replace(self, best_score=score if best else self.best_score, stale=stale), best
        )


@dataclass(frozen=True)
class Rate:
    """Learning rate of gradient descent and its rule: constant, invscaling or adaptive."""

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
        """adaptive: a fifth of the rate, until it is too small; None to stop training."""
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
    """Return scikit-learn's message on why training stops."""
    what = "Validation score" if validation else "Training loss"
    return f"{what} did not improve more than tol={tol:f} for {epochs:.0f} consecutive epochs."


def next_order(order: np.ndarray, shuffle: bool, random: np.random.RandomState) -> np.ndarray:
    """Draw the order of the rows in the next epoch as `sklearn.utils.shuffle` does."""
    if not shuffle:
        return order
    places = np.arange(len(order))
    random.shuffle(places)
    return order[places]
