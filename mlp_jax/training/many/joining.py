"""Chunks of networks that were trained one after another, as one result."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mlp_jax.proof import Report
from mlp_jax.training.checkpoint.snapshot import Snapshot
from mlp_jax.training.engine.program import weights_of
from mlp_jax.training.many.records import flat, histories
from mlp_jax.training.many.result import FittedMany
from mlp_jax.training.many.together import BestWeights, ManyState
from mlp_jax.training.many.vary import Recipe, Vary
from mlp_jax.training.settled import Settled


def joined(
    parts: Sequence[Snapshot],
    seeds: Sequence[int],
    vary: Vary,
    report: Report,
    recipe: Recipe,
    settled: Settled,
    patience: int | None,
) -> FittedMany:
    """The chunks as one result, without the copies that filled up the last."""
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
    return FittedMany(
        tuple(seeds),
        vary,
        *weights,
        _history(parts, own),
        tuple(own),
        tuple(int(epoch) for epoch in epochs),
        _failures(state, vary, settled, patience),
        report,
        recipe,
        settled,
    )


def _history(parts: Sequence[Snapshot], own: Sequence[Any]) -> tuple[dict[str, float], ...]:
    """The flat records; of several chunks, the members' own beside the epoch's number."""
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


def _failures(
    state: ManyState, vary: Vary, settled: Settled, patience: int | None
) -> dict[int, str]:
    """The members that have no weights to use, in words."""
    found: dict[int, str] = {}
    for k in np.flatnonzero(~state.members.alive & ~state.stopped):
        said = "".join(f", {name} {values[int(k)]:g}" for name, values in vary.items())
        found[int(k)] = (
            f"Member {k}{said} diverged at step {int(state.members.step[k]) + 1}: the loss, a"
            " gradient or a weight is not finite."
        )
    if patience is not None and isinstance(state.best, BestWeights):
        for k in np.flatnonzero(state.best.epoch == 0):
            found.setdefault(
                int(k),
                f"Member {k} has no best epoch: its {settled.monitor} on the validation rows was"
                " not a number in any epoch.",
            )
    return found
