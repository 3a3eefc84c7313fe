"""Deep ensembles: networks that differ by seed, trained together, predicting with their mean."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import Ensemble, Layer, Loss, NoiseAverage
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.training.callbacks import Callback, CallbackLike, EpochEnd, as_callbacks
from mlp_jax.training.diagnostics import batch_diagnostics
from mlp_jax.training.fit_options import FitOptions, fit_options
from mlp_jax.training.input.validate import Rows
from mlp_jax.training.many.engine import ManyEpochEnd
from mlp_jax.training.many.fit import MemberOptions, fit_many
from mlp_jax.training.many.result import ManyResult
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.result import Outcome, TrainResult, train_result


def ensemble_seeds(seed: int, members: int) -> list[int]:
    """Return the seeds of the members; the first is that of the run.

    Raises:
        InputError: for fewer than 2 members.
    """
    if members < 2:
        raise InputError(f"An ensemble needs at least 2 members, not {members}.")
    return [(seed + k) % 2**32 for k in range(members)]


def fit_ensemble(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    data: Rows,
    options: FitOptions | None = None,
    *,
    size: int,
    callbacks: Iterable[CallbackLike] = (),
    multiple: int | None = None,
    say: Callable[[str], None] = print,
    **keywords: Any,
) -> TrainResult:
    """Train `size` networks that differ by seed, as one network: an `Ensemble`.

    Args:
        network, loss, optimizer, data, options: as for `fit`.
        size: number of members; they train at once.
        callbacks: as for `fit`. They receive the figures of all members, with the state of the
            first one.
        multiple: as in `MemberOptions`.
        say: receives a sentence for each member that diverges and is left out.
        **keywords: fields of `FitOptions`.

    Returns:
        The ensemble, which predicts with the mean of its members.

    Raises:
        InputError: if the members do not fit into memory at once, and what `fit` raises it for.
        DivergedError: if all members diverge.
    """
    options = fit_options(options, keywords)
    listeners = tuple(_OfFirstMember(c, options.seed) for c in as_callbacks(callbacks))

    def chunk(first: int, at_once: int) -> tuple[Callback, ...]:
        if at_once < size:
            raise InputError(
                f"An ensemble of {size} networks does not fit into memory; train fewer networks."
            )
        return listeners

    members = MemberOptions(seeds=ensemble_seeds(options.seed, size), multiple=multiple)
    many = fit_many(network, loss, optimizer, data, options, members=members, callbacks=chunk)
    for sentence in many.failures.values():
        say(f"{sentence} It is left out of the ensemble.")
    return as_ensemble(many)


def as_ensemble(many: ManyResult) -> TrainResult:
    """Return the members with usable weights as one network that predicts with their mean."""
    usable = [k for k in range(len(many)) if k not in many.failures]
    if not usable:
        raise DivergedError(f"All members failed: {next(iter(many.failures.values()))}")
    members = [many.member(k) for k in usable]
    first = members[0]
    multilabel = first.target.task == "multilabel"
    link = first.loss.function.predict
    if link == "softmax" and (multilabel or first.n_outputs == 1):
        link = "sigmoid"
    network = Ensemble(tuple(member.network for member in members), link)
    outcome = Outcome(
        tuple(member.params for member in members),
        tuple(member.layer_state for member in members),
        many.history,
        len(many.history),
    )
    return train_result(many.plan.with_network(network), outcome, many.report)


class _OfFirstMember(Callback):
    """Adapt a callback of `fit` to `fit_many`: it receives the state of the first member."""

    def __init__(self, inner: Callback, seed: int) -> None:
        self._inner, self._seed = inner, seed
        for name in ("on_proof", "restore", "on_start", "on_epoch_start", "on_call_start",
                     "on_call_end", "on_end"):  # fmt: skip
            setattr(self, name, getattr(inner, name))

    def on_epoch_end(self, end: Any) -> bool | None:
        return self._inner.on_epoch_end(_of_first_member(end, self._seed))


def _of_first_member(end: ManyEpochEnd, seed: int) -> EpochEnd:
    """Return the end of an epoch as callbacks of `fit` receive it."""
    state = jax.tree.map(lambda leaf: leaf[0], end.state.members)

    def diagnose() -> batch_diagnostics.BatchDiagnostics:
        place = (np.uint32(seed), np.int32(end.epoch + 1), NoiseAverage.start())
        return batch_diagnostics.diagnose_batches(end.program, state, end.data, *place)

    due = batch_diagnostics.is_due(end.epoch, end.data.n, end.program.batch_size)
    return EpochEnd(
        epoch=end.epoch,
        metrics=end.metrics,
        state=state,
        seconds=end.seconds,
        samples_per_second=end.samples_per_second,
        diagnose=diagnose,
        diagnostics_due=due,
    )
