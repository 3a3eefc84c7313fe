"""Networks that were trained together: `FittedMany`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlp_jax.errors import DivergedError, InputError
from mlp_jax.proof import Report
from mlp_jax.training.loop import Outcome
from mlp_jax.training.many.together import member_of
from mlp_jax.training.many.vary import Recipe, Vary, member_program
from mlp_jax.training.result import Fitted
from mlp_jax.training.settled import Settled


@dataclass(frozen=True)
class FittedMany:
    """What `fit_many` returns: K members, in the order of their seeds.

    params, layer_state: the weights to use, as `fit` chooses them; every leaf leads with K.
    history: a flat record an epoch.  histories: each member's own.  best_epochs: whose weights.
    failures: the members that have no weights to use, and why, in words.
    """

    seeds: tuple[int, ...]
    vary: Vary
    params: Any = field(repr=False)
    layer_state: Any = field(repr=False)
    history: tuple[dict[str, float], ...] = field(repr=False)
    histories: tuple[tuple[dict[str, float], ...], ...] = field(repr=False)
    best_epochs: tuple[int, ...]
    failures: Mapping[int, str]
    report: Report = field(repr=False)
    recipe: Recipe = field(repr=False)
    settled: Settled = field(repr=False)

    def __len__(self) -> int:
        return len(self.seeds)

    def member(self, k: int) -> Fitted:
        """Member k as `fit` would have returned it.

        InputError for one that is not there, DivergedError for one that diverged.
        """
        if not 0 <= k < len(self):
            raise InputError(f"The members are 0 to {len(self) - 1}, so there is none {k}.")
        if k in self.failures:
            raise DivergedError(self.failures[k])
        own = self.settled._replace(program=member_program(self.recipe, self.vary, k))
        outcome = Outcome(
            member_of(self.params, k),
            member_of(self.layer_state, k),
            self.histories[k],
            self.best_epochs[k],
        )
        return own.fitted(outcome, self.report)

    def scores(self, name: str) -> np.ndarray:
        """(K,) a name of the members' records, "validation_accuracy" say, at their best epochs.

        NaN for a member that has no weights to use.
        """
        found = np.full(len(self), np.nan)
        for k, history in enumerate(self.histories):
            if k not in self.failures and self.best_epochs[k]:
                found[k] = history[self.best_epochs[k] - 1].get(name, np.nan)
        return found
