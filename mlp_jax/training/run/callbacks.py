"""Callbacks of a run: folder, log files, progress bar and checkpoints.

In distributed training, process 0 has all of them; the other processes have checkpoints only.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlp_jax.backprop.specification import State
from mlp_jax.files import write_text_atomic
from mlp_jax.model.model_folder import save_model
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import Callback, CallEnd, EpochEnd, TrainStart
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.engine.snapshot import Position, Snapshot
from mlp_jax.training.mesh.processes import broadcast_folder
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import RunComponents
from mlp_jax.training.run.config import CONFIG_FILE, TrainConfig, to_toml
from mlp_jax.training.run.folder import CHECK_FILE, lock_run_folder, new_folder
from mlp_jax.training.run.log_callbacks import RunLogs
from mlp_jax.training.run.metadata import metadata_at_start
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.run.signals import stop_requests

START = "start"


class RunFolder(Callback):
    """Create the run folder once the gradient check has passed, and keep its metadata.

    Args:
        config, components: the run.
        say: receives each line to print.
        stack: closes the lock of the folder.
        path: folder of a run that is resumed.
        metadata: content of its `run.json`.
    """

    def __init__(
        self,
        config: TrainConfig,
        components: RunComponents,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        path: Path | None,
        metadata: dict[str, Any],
    ) -> None:
        self.path, self.metadata = path, metadata
        self._config, self._components, self._say, self._stack = config, components, say, stack

    def on_proof(self, report: Report) -> None:
        """Print the report; create the folder if the check passed."""
        self._say(f"\n{report}\n")
        if not report.ok:
            return
        if self.path is None:
            self.path = new_folder(self._config.out, self._config.data)
            self._stack.enter_context(lock_run_folder(self.path))
            if self._components.start is not None:
                save_model(self.path / START, self._components.start)
        write_text_atomic(self.path / CONFIG_FILE, to_toml(self._config))
        write_text_atomic(self.path / CHECK_FILE, report.to_json())
        self.note(**metadata_at_start(self._config, self._components), finished=None, failed=None)

    def made(self) -> Path:
        """Return the folder; it exists once the gradient check has passed."""
        assert self.path is not None
        return self.path

    def note(self, **figures: Any) -> None:
        """Add entries to `run.json`."""
        assert self.path is not None
        self.metadata |= figures
        run_folder.write_metadata(self.path, self.metadata)


class RunCheckpoints(Callback):
    """Save and restore a run whose folder is created after the gradient check.

    Args:
        folder: returns the folder; None in a process that did not create it.
        saving: when to save.
        say: receives warnings about damaged checkpoints.
        stack: closes the checkpoints.
        stop: returns the number of a signal that requests a stop (default: SIGTERM or Ctrl-C).
        resume_command: returns the command that resumes (default: that of a run).
    """

    def __init__(
        self,
        folder: Callable[[], Path | None],
        saving: Saving,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        *,
        stop: Callable[[], int | None] | None = None,
        resume_command: Callable[[], str] | None = None,
    ) -> None:
        self._folder, self._saving, self._say, self._stack = folder, saving, say, stack
        self._stop, self._resume_command = stop, resume_command
        self._checkpoints: Checkpoints | None = None

    def restore(self, state: State) -> Snapshot | None:
        """Open the checkpoints and return the newest snapshot."""
        stop = self._stop or self._stack.enter_context(stop_requests())
        resume_command = None if self._resume_command is None else self._resume_command()
        made = Checkpoints(
            broadcast_folder(self._folder()), self._saving, stop, self._say, resume_command
        )
        self._checkpoints = self._stack.enter_context(made)
        return self._checkpoints.restore(state)

    def on_call_end(self, end: CallEnd) -> None:
        """Save the snapshot if a checkpoint is due."""
        assert self._checkpoints is not None
        self._checkpoints.on_call_end(end)

    def on_end(self, snapshot: Snapshot) -> None:
        """Save the final state."""
        assert self._checkpoints is not None
        self._checkpoints.on_end(snapshot)


class LogFiles(Callback):
    """Write the metrics of each epoch to the log files and to TensorBoard."""

    def __init__(
        self,
        folder: RunFolder,
        components: RunComponents,
        say: Callable[[str], None],
        stack: contextlib.ExitStack,
        *,
        diagnostics: bool,
        histograms: bool,
    ) -> None:
        self._folder, self._components, self._say, self._stack = folder, components, say, stack
        self._diagnostics, self._histograms = diagnostics, histograms
        self._logs: RunLogs | None = None

    def on_start(self, start: TrainStart) -> None:
        """Open the logs, truncated to the position where the run starts."""
        assert self._folder.path is not None
        position = start.position
        self._logs = RunLogs(
            self._folder.path,
            position,
            self._components.network,
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
    """Show progress: a bar in a terminal, otherwise one line per epoch."""

    def __init__(self, bar: EpochProgress, metric: str, *, private: bool) -> None:
        self._bar, self._metric, self._private = bar, metric, private
        self._speed = 0.0

    def on_call_end(self, end: CallEnd) -> None:
        """Update the bar inside the epoch."""
        self._speed = end.samples_per_second
        if end.fraction < 1:
            loss = None if self._private else end.loss
            self._bar.update(end.epoch, min(end.fraction, 0.999), loss, None, None, self._speed)

    def on_epoch_end(self, end: EpochEnd) -> None:
        """Show the metrics of the epoch."""
        name, value = f"validation {self._metric}", end.metrics.get(f"validation_{self._metric}")
        if value is None and self._private:
            name, value = "epsilon", end.metrics["epsilon"]
        loss, speed = end.metrics.get("train_loss"), end.samples_per_second
        self._bar.update(end.epoch, 1.0, loss, name, value, speed)
