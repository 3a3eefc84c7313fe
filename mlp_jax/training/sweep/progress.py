"""Progress of a sweep: a run's bar, the number of networks that train, and the best metric."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.callbacks import Callback, CallEnd, TrainStart
from mlp_jax.training.engine.snapshot import Position
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.sweep.search import RungTrials


class BestSoFar:
    """Best value of a metric over all networks of a sweep; NaN before the first."""

    def __init__(self, metric: str) -> None:
        self.metric, self.value = metric, math.nan
        self._better = max if higher_is_better(metric) else min

    def note(self, record: Mapping[str, float]) -> None:
        """Update the best value from the flat record of an epoch."""
        ending = f"_validation_{self.metric}"
        for name, value in record.items():
            if name.startswith("member_") and name.endswith(ending) and not math.isnan(value):
                known = value if math.isnan(self.value) else self.value
                self.value = self._better(known, value)


class RungProgress(Callback):
    """Show the progress of a chunk of networks.

    Args:
        rung_trials: trials that train.
        best: best value of the sweep so far.
        say: receives each line to print.
        bar: shows the epochs.
        first, size: number of the first network of the chunk, and how many train at once.
    """

    def __init__(
        self,
        rung_trials: RungTrials,
        best: BestSoFar,
        say: Callable[[str], None],
        bar: EpochProgress,
        *,
        first: int,
        size: int,
    ) -> None:
        self._rung_trials, self._best, self._say, self._bar = rung_trials, best, say, bar
        self._first, self._size = first, size
        self._count, self._speed = min(size, rung_trials.networks - first), math.nan

    def on_start(self, start: TrainStart) -> None:
        """Print which networks train, and where they resume."""
        position, first = start.position, self._first
        if self._size < self._rung_trials.networks:
            last = first + self._count
            self._say(f"  networks {first + 1} to {last}: memory holds {self._size} at once")
        for record in position.history:
            self._best.note(record)
        if position.stopped or position.epoch > self._rung_trials.epochs:
            self._say("  already trained")
        elif position != Position():
            self._say(f"  Resuming from epoch {position.epoch}")

    def on_call_end(self, end: CallEnd) -> None:
        """Update the bar inside an epoch."""
        self._speed = end.samples_per_second
        if end.fraction < 1:
            done = min(end.fraction, 0.999)
            self._bar.update(end.epoch, done, end.loss, None, None, self._speed)

    def on_epoch_end(self, end: Any) -> None:
        """Update the bar at the end of an epoch; end: a `ManyEpochEnd`."""
        self._best.note(end.metrics)
        training = int(end.training.sum())
        name = f"{training} of {self._count} training  best {self._best.metric.replace('_', ' ')}"
        loss, speed = end.metrics["train_loss"], end.samples_per_second
        self._bar.update(end.epoch, 1.0, loss, name, self._best.value, speed)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}{'s' * (count != 1)}"
