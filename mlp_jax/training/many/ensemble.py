"""A deep ensemble: networks that differ by seed, trained together, predicting with their mean."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import Ensemble, Layer, Loss, NoiseAverage
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.model.judge import task_of
from mlp_jax.training.checkpoint.manager import Checkpoints
from mlp_jax.training.diagnostics import probe
from mlp_jax.training.input.validate import Rows
from mlp_jax.training.loop import EpochEnd, Outcome
from mlp_jax.training.many.engine import ManyEpochEnd
from mlp_jax.training.many.fit import fit_many
from mlp_jax.training.many.result import FittedMany
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.result import Fitted


def ensemble_seeds(seed: int, members: int) -> list[int]:
    """The members' seeds: the first is the run's own. InputError for fewer than 2."""
    if members < 2:
        raise InputError(f"An ensemble has at least 2 members, not {members}.")
    return [(seed + k) % 2**32 for k in range(members)]


def fit_ensemble(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    data: Rows,
    *,
    members: int,
    seed: int = 0,
    checkpoints: Callable[[], Checkpoints] | None = None,
    callbacks: Sequence[Callable[[EpochEnd], bool | None]] = (),
    say: Callable[[str], None] = print,
    **options: Any,
) -> Fitted:
    """`fit` of `members` networks with seeds of their own, as one network: an `Ensemble`.

    Callbacks see the figures of all (`ManyEpochEnd`) with the state and the last step of the first
    member. A member that diverges is left out, and said; DivergedError where all do. checkpoints
    and options: as `fit` takes them; saved members train at once or not at all (InputError).
    """

    def told(callback: Callable[[EpochEnd], bool | None]) -> Callable[[ManyEpochEnd], bool | None]:
        return lambda end: callback(_of_first_member(end, seed))

    def keeper(first: int, size: int) -> Checkpoints:
        if size < members:
            raise InputError(
                f"{members} networks do not fit into memory at once, as the members of an ensemble"
                " do; train fewer of them."
            )
        assert checkpoints is not None
        return checkpoints()

    many = fit_many(
        network,
        loss,
        optimizer,
        data,
        seeds=ensemble_seeds(seed, members),
        seed=seed,
        callbacks=[told(callback) for callback in callbacks],
        checkpoints=None if checkpoints is None else keeper,
        **options,
    )
    for sentence in many.failures.values():
        say(f"{sentence} The ensemble goes without it.")
    return as_ensemble(many)


def as_ensemble(many: FittedMany) -> Fitted:
    """The members that have weights to use as one network that predicts with their mean."""
    usable = [k for k in range(len(many)) if k not in many.failures]
    if not usable:
        raise DivergedError(f"No member is left: {next(iter(many.failures.values()))}")
    members = [many.member(k) for k in usable]
    first = members[0]
    one_by_one = task_of(first.loss, many.settled.rows.y, first.n_classes) == "multilabel"
    link = first.loss.function.predict
    if link == "softmax" and (one_by_one or first.n_outputs == 1):
        link = "sigmoid"
    network = Ensemble(tuple(member.network for member in members), link)
    outcome = Outcome(
        tuple(member.params for member in members),
        tuple(member.layer_state for member in members),
        many.history,
        len(many.history),
    )
    settled = many.settled.with_network(network)
    return settled.fitted(outcome, many.report)


def _of_first_member(end: ManyEpochEnd, seed: int) -> EpochEnd:
    """The end of an epoch as the callbacks of `fit` take it."""
    state = jax.tree.map(lambda leaf: leaf[0], end.state.members)

    def look() -> probe.Look:
        place = (np.uint32(seed), np.int32(end.epoch + 1), NoiseAverage.start())
        return probe.look(end.program, state, end.data, *place)

    due = probe.is_due(end.epoch, end.data.n, end.program.batch_size)
    return EpochEnd(end.epoch, end.metrics, state, end.seconds, end.samples_per_second, look, due)
