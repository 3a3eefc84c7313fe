"""How far a sweep is: the bar of a run, with how many networks still train and the best so far."""

import contextlib
import math
from collections.abc import Callable, Mapping

from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.checkpoint.snapshot import Position
from mlp_jax.training.many.engine import ManyEpochEnd
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.sweep.search import Leg


class BestSoFar:
    """The best value of a metric that any network of a sweep has reached; NaN before the first."""

    def __init__(self, metric: str) -> None:
        self.metric, self.value = metric, math.nan
        self._better = max if higher_is_better(metric) else min

    def note(self, record: Mapping[str, float]) -> None:
        """Takes the members' values in the flat record of an epoch into account."""
        ending = f"_validation_{self.metric}"
        for name, value in record.items():
            if name.startswith("member_") and name.endswith(ending) and not math.isnan(value):
                known = value if math.isnan(self.value) else self.value
                self.value = self._better(known, value)


class LegProgress:
    """Shows how a leg trains, one chunk after another; `with LegProgress(…) as progress`."""

    def __init__(self, leg: Leg, best: BestSoFar, say: Callable[[str], None], bar: bool) -> None:
        self._leg, self._best, self._say, self._enabled = leg, best, say, bar
        self._bar: EpochProgress | None = None
        self._open = contextlib.ExitStack()
        self._count, self._speed = leg.networks, math.nan

    def chunk(self, first: int, size: int) -> None:
        """The networks from `first` on, `size` at once, come next."""
        self._open.close()
        self._count = min(size, self._leg.networks - first)
        if size < self._leg.networks:
            last = first + self._count
            self._say(f"  networks {first + 1} to {last}: memory holds {size} at once")
        bar = EpochProgress(self._leg.epochs, enabled=self._enabled)
        self._bar = self._open.enter_context(bar)

    def started(self, position: Position) -> None:
        """Tells what is saved already."""
        for record in position.history:
            self._best.note(record)
        if position.stopped or position.epoch > self._leg.epochs:
            self._say("  trained already")
        elif position != Position():
            self._say(f"  going on from epoch {position.epoch}")

    def tick(self, epoch: int, done: float, loss: float, speed: float) -> None:
        """Moves the bar inside an epoch."""
        assert self._bar is not None
        self._speed = speed
        self._bar.update(epoch, min(done, 0.999), loss, None, None, speed)

    def after_epoch(self, end: ManyEpochEnd) -> None:
        """Moves the bar at the end of an epoch."""
        assert self._bar is not None
        self._best.note(end.metrics)
        training = int(end.training.sum())
        name = f"{training} of {self._count} training  best {self._best.metric.replace('_', ' ')}"
        loss = end.metrics["train_loss"]
        self._bar.update(end.epoch, 1.0, loss, name, self._best.value, self._speed)

    def __enter__(self) -> "LegProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()


def counted(count: int, noun: str) -> str:
    """1 trial, 2 trials."""
    return f"{count} {noun}{'s' * (count != 1)}"
