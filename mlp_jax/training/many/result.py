"""Result of networks that were trained together: `ManyResult`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.proof import Report
from mlp_jax.training.engine.program import weights_of
from mlp_jax.training.engine.snapshot import Snapshot
from mlp_jax.training.many.member_steps import BestWeights, ManyState, member_of
from mlp_jax.training.many.records import flat, histories
from mlp_jax.training.many.vary import Recipe, Vary, member_program
from mlp_jax.training.plan import TrainPlan
from mlp_jax.training.result import Outcome, TrainResult, train_result


@dataclass(frozen=True)
class ManyResult:
    """K trained networks, as `fit_many` returns them, in the order of their seeds.

    Attributes:
        seeds: seed of each member.
        vary: hyperparameters that differ, K values each.
        params, layer_state: selected weights, as in `fit`; the first axis of every leaf is K.
        history: one flat record per epoch.
        histories: history of each member.
        best_epochs: epoch of the weights of each member.
        failures: reason for each member without usable weights.
        report: the gradient check.
        recipe: static specification of the program.
        plan: the training plan.
    """

    seeds: tuple[int, ...]
    vary: Vary
    params: Params = field(repr=False)
    layer_state: State = field(repr=False)
    history: tuple[dict[str, float], ...] = field(repr=False)
    histories: tuple[tuple[dict[str, float], ...], ...] = field(repr=False)
    best_epochs: tuple[int, ...]
    failures: Mapping[int, str]
    report: Report = field(repr=False)
    recipe: Recipe = field(repr=False)
    plan: TrainPlan = field(repr=False)

    def __len__(self) -> int:
        return len(self.seeds)

    def member(self, k: int) -> TrainResult:
        """Return member k, as `fit` would return it.

        Args:
            k: number of the member, from 0.

        Raises:
            InputError: if there is no such member.
            DivergedError: if it diverged.
        """
        if not 0 <= k < len(self):
            raise InputError(f"There is no member {k}: the members are 0 to {len(self) - 1}.")
        if k in self.failures:
            raise DivergedError(self.failures[k])
        own = replace(self.plan, program=member_program(self.recipe, self.vary, k))
        outcome = Outcome(
            member_of(self.params, k),
            member_of(self.layer_state, k),
            self.histories[k],
            self.best_epochs[k],
        )
        return train_result(own, outcome, self.report)

    def scores(self, name: str) -> np.ndarray:
        """Return a value of each member's record at its best epoch, shape (K,).

        Args:
            name: key of the records, such as "validation_accuracy".

        Returns:
            The values; NaN for a member without usable weights.
        """
        found = np.full(len(self), np.nan)
        for k, history in enumerate(self.histories):
            if k not in self.failures and self.best_epochs[k]:
                found[k] = history[self.best_epochs[k] - 1].get(name, np.nan)
        return found


def concatenate_chunks(
    parts: Sequence[Snapshot],
    seeds: Sequence[int],
    vary: Vary,
    report: Report,
    recipe: Recipe,
    plan: TrainPlan,
) -> ManyResult:
    """Join the chunks into one result, without the copies that fill the last chunk."""
    count = len(seeds)

    def whole(*leaves: Any) -> np.ndarray:
        return np.concatenate(leaves)[:count]

    state: ManyState = jax.tree.map(whole, *(part.state for part in parts))
    own: list[tuple[dict[str, float], ...]] = []
    for part in parts:
        own += histories(part.position.history, len(part.state.members.alive))
    own = own[:count]
    weights = weights_of(state.members)
    epochs = np.array([len(history) for history in own])
    if isinstance(state.best, BestWeights):
        found = state.best.epoch > 0

        def choose(best: np.ndarray, last: np.ndarray) -> np.ndarray:
            return np.where(found.reshape(-1, *[1] * (best.ndim - 1)), best, last)

        weights = jax.tree.map(choose, (state.best.params, state.best.layer_state), weights)
        epochs = np.where(found, state.best.epoch, epochs)
    return ManyResult(
        seeds=tuple(seeds),
        vary=vary,
        params=weights[0],
        layer_state=weights[1],
        history=_history(parts, own),
        histories=tuple(own),
        best_epochs=tuple(int(epoch) for epoch in epochs),
        failures=_failures(state, vary, plan),
        report=report,
        recipe=recipe,
        plan=plan,
    )


def _history(parts: Sequence[Snapshot], own: Sequence[Any]) -> tuple[dict[str, float], ...]:
    """Return the flat records; for several chunks, those of the members by epoch."""
    if len(parts) == 1:
        return parts[0].position.history
    longest = max(len(part.position.history) for part in parts)
    return tuple(
        flat(
            {"epoch": epoch + 1},
            {k: history[epoch] for k, history in enumerate(own) if epoch < len(history)},
        )
        for epoch in range(longest)
    )


def _failures(state: ManyState, vary: Vary, plan: TrainPlan) -> dict[int, str]:
    """Return the reason for each member without usable weights."""
    found: dict[int, str] = {}
    for k in np.flatnonzero(~state.members.alive & ~state.stopped):
        values_of = "".join(f", {name} {values[int(k)]:g}" for name, values in vary.items())
        found[int(k)] = (
            f"Member {k}{values_of} diverged at step {int(state.members.step[k]) + 1}: the loss, a"
            " gradient or a weight is not finite."
        )
    if plan.options.patience is not None and isinstance(state.best, BestWeights):
        for k in np.flatnonzero(state.best.epoch == 0):
            found.setdefault(
                int(k),
                f"Member {k} has no best epoch: its {plan.monitor} on the validation rows was NaN"
                " in every epoch.",
            )
    return found
