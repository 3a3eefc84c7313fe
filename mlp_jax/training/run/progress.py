"""Progress of a run: a bar in a terminal, otherwise one plain line per epoch."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_PACE = 0.2  # epochs before the time left is estimated
_DUMB_TERMINALS = ("dumb", "unknown")


class EpochProgress:
    """Show epoch, loss, metric, samples per second and time left: `with EpochProgress(20) as p`.

    In a terminal one bar moves, and the terminal is restored however the block ends. Otherwise each
    epoch prints one ASCII line when its fraction reaches 1.

    Args:
        total_epochs: epochs of the run.
        enabled: show anything at all.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total_epochs: int,
        enabled: bool = True,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_epochs
        self._enabled = enabled
        self._clock = clock
        self._first: tuple[float, float] | None = None
        self._last_line = 0
        self._metric = ""
        self._bar: Progress | None = None

    def __enter__(self) -> "EpochProgress":
        if self._enabled and _is_terminal():
            self._bar = _rich_bar(self._total)
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def update(
        self,
        epoch: int,
        fraction_of_epoch: float,
        loss: float | None,
        metric_name: str | None,
        metric: float | None,
        samples_per_second: float,
    ) -> None:
        """Show the progress of an epoch.

        Args:
            epoch: number of the epoch, from 1.
            fraction_of_epoch: 0 to 1. Pass 1 once per epoch, with its metric, to print the plain
                line.
            loss: mean training loss; None hides it.
            metric_name, metric: metric to show; without one the bar keeps the last.
            samples_per_second: training speed.
        """
        if not self._enabled:
            return
        done = epoch - 1 + fraction_of_epoch
        if metric_name is not None and metric is not None:
            self._metric = f"{metric_name} {_number(metric)}"
        elif self._bar is None:
            self._metric = ""
        speed, left = f"{_short(samples_per_second)} samples/s", self._time_left(done)
        shown = "" if loss is None else f"train loss {_number(loss)}"
        parts = (shown, self._metric, speed, left)
        details = "  ".join(part for part in parts if part)
        title = f"epoch {epoch:{len(str(self._total))}d}/{self._total}"
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=done, description=title, details=details)
        elif fraction_of_epoch >= 1 and epoch > self._last_line:
            self._last_line = epoch
            print(f"{title}  {details}", flush=True)

    def _time_left(self, done: float) -> str:
        """Estimate the time left from the pace since the first update, without compilation."""
        now = self._clock()
        if self._first is None:
            self._first = now, done
        start, done_at_start = self._first
        if done >= self._total or done - done_at_start < _PACE:
            return ""
        return f"{_duration((now - start) / (done - done_at_start) * (self._total - done))} left"


def _is_terminal() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in _DUMB_TERMINALS


def _rich_bar(total: int) -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[details]}", markup=False, table_column=Column(no_wrap=True)),
        expand=True,
    )
    bar.add_task(f"epoch 1/{total}", total=total, details="")
    return bar


def _number(value: float) -> str:
    """Format with four decimals in the usual range, four digits below and six above."""
    size = abs(value)
    if 0 < size < 1e-3:
        return f"{value:.3e}"
    return f"{value:.4f}" if size < 1e3 else f"{value:.6g}"


def _short(number: float) -> str:
    """Format with three digits and a unit: 987, 41.2k, 1.30M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            value = number / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return f"{number:.0f}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
