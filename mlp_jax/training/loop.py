"""The host loop over epochs of compiled calls: one network, many networks, the estimators."""

import contextlib
import time
from collections.abc import Generator, Sequence
from typing import Any, Protocol, runtime_checkable

from mlp_jax.training.callbacks import Callback, CallEnd
from mlp_jax.training.engine.snapshot import Position, Snapshot

Call = tuple[int, Any]
"""A compiled call: its number of steps, and the rows that it is given."""


@runtime_checkable
class Engine(Protocol):
    """Protocol of what the loop drives: how an epoch is split into calls, run and evaluated."""

    @property
    def steps(self) -> int:
        """Steps per epoch."""

    def samples(self, position: Position) -> float:
        """Return how many examples of the epoch are done, over all networks."""

    def calls(self, position: Position) -> Generator[Call, None, None]:
        """Yield the calls that are left in the epoch."""

    def run(self, snapshot: Snapshot, call: Call) -> tuple[Snapshot, float]:
        """Return the snapshot after a call, and the mean loss of the epoch so far."""

    def end_epoch(
        self, snapshot: Snapshot, seconds: float, samples_per_second: float
    ) -> tuple[Snapshot, Any]:
        """Evaluate the epoch, track the best weights, and return what callbacks receive.

        That is an `EpochEnd`, or a record with the same first fields. A position that is returned
        as `stopped` ends the training.
        """


def run_epochs(
    engine: Engine, snapshot: Snapshot, callbacks: Sequence[Callback], epochs: int
) -> Snapshot:
    """Run the epochs that are left, or as many as the engine and the callbacks allow."""
    while snapshot.position.epoch <= epochs and not snapshot.position.stopped:
        left = engine.steps - snapshot.position.done
        answers = [callback.on_epoch_start(snapshot.position, left) for callback in callbacks]
        if any(answers):
            break
        snapshot = _run_epoch(engine, snapshot, callbacks)
    for callback in callbacks:
        callback.on_end(snapshot)
    return snapshot


def _run_epoch(engine: Engine, snapshot: Snapshot, callbacks: Sequence[Callback]) -> Snapshot:
    """Run the rest of an epoch, evaluate it, and notify the callbacks."""
    epoch, before = snapshot.position.epoch, engine.samples(snapshot.position)
    loss, seconds, speed = float("nan"), 0.0, 0.0
    started = time.perf_counter()
    with contextlib.closing(engine.calls(snapshot.position)) as calls:
        for call in calls:
            for callback in callbacks:
                callback.on_call_start(call[0])
            snapshot, loss = engine.run(snapshot, call)
            seconds = time.perf_counter() - started
            speed = (engine.samples(snapshot.position) - before) / seconds
            fraction = snapshot.position.done / engine.steps
            if fraction < 1:
                _notify(
                    callbacks,
                    CallEnd(
                        epoch=epoch,
                        fraction=fraction,
                        loss=loss,
                        samples_per_second=speed,
                        snapshot=snapshot,
                    ),
                )
    snapshot, end = engine.end_epoch(snapshot, seconds, speed)
    answers = [callback.on_epoch_end(end) for callback in callbacks]
    position = snapshot.position
    position = Position(
        epoch=epoch + 1,
        history=(*position.history, end.metrics),
        stopped=position.stopped or any(answers),
        noise=position.noise,
    )
    snapshot = snapshot._replace(position=position)
    _notify(
        callbacks,
        CallEnd(epoch=epoch, fraction=1.0, loss=loss, samples_per_second=speed, snapshot=snapshot),
    )
    return snapshot


def _notify(callbacks: Sequence[Callback], end: CallEnd) -> None:
    for callback in callbacks:
        callback.on_call_end(end)
