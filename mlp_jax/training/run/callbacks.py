"""Callbacks of a run: its folder, its log files, its progress bar, its checkpoints, its ledger.

The first of several processes has all of them; the others have the checkpoints alone.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlp_jax.files import write_text_atomic
from mlp_jax.model.saved import save_model
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import Callback, CallEnd, EpochEnd, TrainStart
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.engine.snapshot import Position, Snapshot
from mlp_jax.training.mesh.processes import common
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import RunComponents
from mlp_jax.training.run.config import CONFIG_FILE, TrainConfig, to_toml
from mlp_jax.training.run.folder import CHECK_FILE, held, new_folder
from mlp_jax.training.run.log_callbacks import RunLogs
from mlp_jax.training.run.metadata import metadata_at_start
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.run.signals import stop_requests

START = "start"


class RunFolder(Callback):
    """Make the folder of a run once the gradient check has passed, and keep its metadata.

    Args:
        config, parts: the run.
        say: receives each line that is printed.
        stack: closes what the folder opens.
        path: the folder of a run that is resumed.
        metadata: what its `run.json` says.
    """

    def __init__(
        self,
        config: TrainConfig,
        parts: RunComponents,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        path: Path | None,
        metadata: dict[str, Any],
    ) -> None:
        self.path, self.metadata = path, metadata
        self._config, self._parts, self._say, self._stack = config, parts, say, stack

    def on_proof(self, report: Report) -> None:
        """Print the report; if the check passed, make the folder."""
        self._say(f"\n{report}\n")
        if not report.ok:
            return
        if self.path is None:
            self.path = new_folder(self._config.out, self._config.data)
            self._stack.enter_context(held(self.path))
            if self._parts.start is not None:
                save_model(self.path / START, self._parts.start)
        write_text_atomic(self.path / CONFIG_FILE, to_toml(self._config))
        write_text_atomic(self.path / CHECK_FILE, report.to_json())
        self.note(**metadata_at_start(self._config, self._parts), finished=None, failed=None)

    def made(self) -> Path:
        """Return the folder, which was made after the gradient check."""
        assert self.path is not None
        return self.path

    def note(self, **figures: Any) -> None:
        """Add figures to `run.json`."""
        assert self.path is not None
        self.metadata |= figures
        run_folder.write_facts(self.path, self.metadata)


class RunCheckpoints(Callback):
    """Save a run and restore it; the folder is known once the gradient check has passed.

    Args:
        folder: returns the folder; None in a process that has not made it.
        saving: when to save.
        say: receives what there is to say of damaged checkpoints.
        stack: closes the checkpoints.
        stop: returns the number of a signal that asks to stop; by default SIGTERM and Ctrl-C do.
        again: returns the command that resumes, once the folder is known; by default that of a run.
    """

    def __init__(
        self,
        folder: Callable[[], Path | None],
        saving: Saving,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        *,
        stop: Callable[[], int | None] | None = None,
        again: Callable[[], str] | None = None,
    ) -> None:
        self._folder, self._saving, self._say, self._stack = folder, saving, say, stack
        self._stop, self._again = stop, again
        self._checkpoints: Checkpoints | None = None

    def restore(self, state: Any) -> Snapshot | None:
        """Open the checkpoints, and return the newest one."""
        stop = self._stop or self._stack.enter_context(stop_requests())
        again = None if self._again is None else self._again()
        made = Checkpoints(common(self._folder()), self._saving, stop, self._say, again)
        self._checkpoints = self._stack.enter_context(made)
        return self._checkpoints.restore(state)

    def on_call_end(self, end: CallEnd) -> None:
        """Save the snapshot if it is time."""
        assert self._checkpoints is not None
        self._checkpoints.on_call_end(end)

    def on_end(self, snapshot: Snapshot) -> None:
        """Save the final state."""
        assert self._checkpoints is not None
        self._checkpoints.on_end(snapshot)


class LogFiles(Callback):
    """Write the figures of each epoch to the log files of a run, and to TensorBoard."""

    def __init__(
        self,
        folder: RunFolder,
        parts: RunComponents,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        *,
        diagnostics: bool,
        histograms: bool,
    ) -> None:
        self._folder, self._parts, self._say, self._stack = folder, parts, say, stack
        self._diagnostics, self._histograms = diagnostics, histograms
        self._logs: RunLogs | None = None

    def on_start(self, start: TrainStart) -> None:
        """Open the logs, cut back to where the run starts."""
        assert self._folder.path is not None
        position = start.position
        self._logs = RunLogs(
            self._folder.path,
            position,
            self._parts.network,
            diagnostics=self._diagnostics,
            histograms=self._histograms,
        )
        self._stack.enter_context(self._logs)
        if start.account is not None:
            self._say(str(start.account))
        if position != Position():
            where = f"epoch {position.epoch}" + (f", step {position.done}" if position.done else "")
            self._say(f"Resuming from {where}")

    def on_epoch_end(self, end: EpochEnd) -> None:
        """Write the record of the epoch."""
        assert self._logs is not None
        self._logs.write(end)


class ProgressBar(Callback):
    """Show the progress of a run: a bar in a terminal, one line per epoch elsewhere."""

    def __init__(self, bar: EpochProgress, metric: str, *, private: bool) -> None:
        self._bar, self._metric, self._private = bar, metric, private
        self._speed = 0.0

    def on_call_end(self, end: CallEnd) -> None:
        """Move the bar inside the epoch."""
        self._speed = end.samples_per_second
        if end.fraction < 1:
            loss = None if self._private else end.loss
            self._bar.update(end.epoch, min(end.fraction, 0.999), loss, None, None, self._speed)

    def on_epoch_end(self, end: EpochEnd) -> None:
        """Show the figures of the epoch."""
        name, value = f"validation {self._metric}", end.metrics.get(f"validation_{self._metric}")
        if value is None and self._private:
            name, value = "epsilon", end.metrics["epsilon"]
        loss, speed = end.metrics.get("train_loss"), end.samples_per_second
        self._bar.update(end.epoch, 1.0, loss, name, value, speed)
