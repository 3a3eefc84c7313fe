"""Callbacks of a training: one protocol for progress, logs, checkpoints, budgets and users' own.

A callback is an object with the methods of `Callback`; derive from it and override those that you
need. A plain function is taken as `on_epoch_end`. Callbacks are called in the order of their list.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlp_jax.backprop.specification import State
from mlp_jax.proof import Report
from mlp_jax.training.engine.program import TrainState
from mlp_jax.training.engine.snapshot import Position, Snapshot
from mlp_jax.training.private.ledger import Ledger


class TrainStart(NamedTuple):
    """Argument of `Callback.on_start`.

    Attributes:
        position: where training starts; `Position()` for a new run.
        epochs: the epoch that training ends with.
        steps: steps per epoch.
        account: the budget of a private training, else None.
    """

    position: Position
    epochs: int
    steps: int
    account: Any = None


class CallEnd(NamedTuple):
    """Argument of `Callback.on_call_end`.

    Attributes:
        epoch: number of the epoch, from 1.
        fraction: part of the epoch that is done, 0 to 1.
        loss: mean training loss of the epoch so far.
        samples_per_second: speed of the epoch so far.
        snapshot: state of the training; after the last call of an epoch, at the start of the next.
            Copy what you keep: the next call reuses the memory of its arrays.
    """

    epoch: int
    fraction: float
    loss: float
    samples_per_second: float
    snapshot: Snapshot


class EpochEnd(NamedTuple):
    """Argument of `Callback.on_epoch_end`.

    Attributes:
        epoch: number of the epoch, from 1.
        metrics: the record of the epoch. Figures that a callback adds are kept with it.
        state: parameters and all else that training changes. Copy what you keep: the next epoch
            reuses its memory.
        seconds: duration of the steps.
        samples_per_second: speed of the steps.
        diagnose: returns diagnostics of the next batches (`BatchDiagnostics`); None in a private
            training and for streamed rows.
        diagnostics_due: whether the diagnostics of this epoch go into the records.
        best_epoch: the epoch with the best monitored metric so far; 0 if there is none.
    """

    epoch: int
    metrics: dict[str, float]
    state: TrainState
    seconds: float
    samples_per_second: float
    diagnose: Callable[[], Any] | None
    diagnostics_due: bool
    best_epoch: int = 0


class Callback:
    """Base class of callbacks: every method does nothing.

    `on_proof` is called first, once. If the gradient check fails, training ends there. `restore`
    may return a snapshot to resume from. After `on_start`, each epoch calls `on_epoch_start`, then
    for each compiled call `on_call_start` and `on_call_end`, and `on_epoch_end` once the epoch is
    evaluated (before `on_call_end` of its last call). `on_end` comes last, unless an error ended
    the training.
    """

    def on_proof(self, report: Report) -> None:
        """Receive the report of the gradient check."""

    def restore(self, state: State) -> Snapshot | None:
        """Return the snapshot to resume from, None for a new run.

        Args:
            state: the state of step 0, for shapes and placement.
        """
        return None

    def on_start(self, start: TrainStart) -> None:
        """Receive where training starts."""

    def on_epoch_start(self, position: Position, steps: int) -> bool | None:
        """Return True to end the training before this epoch.

        Args:
            position: where training stands.
            steps: steps left in the epoch.
        """
        return None

    def on_call_start(self, steps: int) -> None:
        """Receive the number of steps of the compiled call that starts now."""

    def on_call_end(self, end: CallEnd) -> None:
        """Receive the progress after a compiled call."""

    def on_epoch_end(self, end: Any) -> bool | None:
        """Receive the figures of an epoch; return True to end the training.

        Args:
            end: an `EpochEnd`; in `fit_many` a `ManyEpochEnd`.
        """
        return None

    def on_end(self, snapshot: Snapshot) -> None:
        """Receive the final state of the training."""


CallbackLike = Callback | Callable[[EpochEnd], bool | None]


class _EpochFunction(Callback):
    """A plain function as `on_epoch_end`."""

    def __init__(self, function: Callable[[Any], bool | None]) -> None:
        self._function = function

    def on_epoch_end(self, end: Any) -> bool | None:
        return self._function(end)


def as_callbacks(given: Iterable[CallbackLike]) -> tuple[Callback, ...]:
    """Return the callbacks, plain functions as `on_epoch_end`.

    Raises:
        TypeError: for what is neither a `Callback` nor a function.
    """
    found = []
    for one in given:
        if isinstance(one, Callback):
            found.append(one)
        elif callable(one):
            found.append(_EpochFunction(one))
        else:
            raise TypeError(f"A callback must be a mlp_jax.Callback or a function, not {one!r}.")
    return tuple(found)


class EarlyStopping(Callback):
    """End the training after `patience` epochs without a better monitored metric.

    Args:
        patience: number of epochs to wait.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_epoch_end(self, end: EpochEnd) -> bool:
        """Return whether the best epoch lies `patience` epochs back."""
        return end.epoch - end.best_epoch >= self._patience


class LedgerCallback(Callback):
    """Pay for the steps of a private training before they run, and end it before the budget does.

    Args:
        folder: returns the folder of the run, where the ledger is kept; without it the ledger is
            in memory.
    """

    def __init__(self, folder: Callable[[], Path] | None = None) -> None:
        self._folder = folder
        self._ledger: Ledger | None = None

    def on_start(self, start: TrainStart) -> None:
        """Open the ledger."""
        folder = None if self._folder is None else self._folder()
        self._ledger = Ledger(start.account, folder)

    def on_epoch_start(self, position: Position, steps: int) -> bool:
        """Return whether the budget does not cover the rest of the epoch."""
        return not self._open.allows(steps)

    def on_call_start(self, steps: int) -> None:
        """Pay for the steps."""
        self._open.pay(steps)

    def on_epoch_end(self, end: EpochEnd) -> None:
        """Record ε of all steps so far."""
        end.metrics["epsilon"] = self._open.epsilon

    @property
    def _open(self) -> Ledger:
        assert self._ledger is not None, "on_start opens it"
        return self._ledger


def first_restored(callbacks: Sequence[Callback], state: State) -> Snapshot | None:
    """Return the first snapshot that a callback restores; None for a new run."""
    for callback in callbacks:
        found = callback.restore(state)
        if found is not None:
            return found
    return None
