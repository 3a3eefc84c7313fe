"""Checkpoint manager: save snapshots during training, restore the newest intact one.

A checkpoint is an Orbax folder with the leaves of the state and of the best weights, and a record
of the position. It is committed by its checksums, which process 0 writes last, when all processes
have written their shards. A single process reads back what it wrote before it commits.
"""

import contextlib
import re
import shlex
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from mlp_jax.backprop.specification import State
from mlp_jax.errors import InputError, RunFolderError, StoppedError
from mlp_jax.training.callbacks import Callback, CallEnd
from mlp_jax.training.checkpoint.integrity import (
    FOLDER,
    keep_newest,
    newest_step,
    quarantine_damaged,
    write_commit_marker,
)
from mlp_jax.training.checkpoint.plain_path import PlainPath
from mlp_jax.training.checkpoint.storage import (
    begin,
    check_read_back,
    finish,
    open_checkpointer,
    read,
    weights_of,
)
from mlp_jax.training.engine.snapshot import Snapshot
from mlp_jax.training.mesh.lost_process import is_lost_process
from mlp_jax.training.mesh.processes import (
    agree_on_saving,
    allreduce_max,
    broadcast_json,
    is_first,
    on_first,
    to_host,
)

SMALL_FILES = 200_000  # bytes of a checkpoint besides its arrays
_UNITS = {"": "seconds", "second": "seconds", "step": "steps", "epoch": "epochs"}
_INTERVAL = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(s|seconds?|steps?|epochs?)\s*")


@dataclass(frozen=True)
class Saving:
    """Checkpoint schedule.

    Attributes:
        amount: interval between checkpoints, in units; saved at the end of a compiled call. With 0
            only the end of the run is saved.
        unit: "seconds", "steps" or "epochs".
        keep: number of checkpoints to keep.

    Raises:
        InputError: if fewer than two checkpoints are kept.
    """

    amount: float
    unit: str
    keep: int = 3

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise InputError(
                f"At least 2 checkpoints must be kept, not {self.keep}: one stays intact while the"
                " next is written."
            )

    @classmethod
    def parse(cls, every: str, keep: int = 3) -> "Saving":
        """Return the schedule of a text.

        Args:
            every: "20s", "500 steps", "2 epochs" or "never".
            keep: number of checkpoints to keep.

        Raises:
            InputError: for any other text.
        """
        if every.strip() == "never":
            return cls(0, "seconds", keep)
        found = _INTERVAL.fullmatch(every)
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"The checkpoint interval must be like '20s', '500 steps', '2 epochs' or 'never',"
                f" not '{every}'."
            )
        return cls(float(found[1]), _UNITS[found[2].rstrip("s")], keep)


class Checkpoints(Callback):
    """Callback that saves a training to a folder and restores it.

    A checkpoint is saved when `saving` says so, at the end, and on a stop signal, after which
    StoppedError is raised. Processes of a distributed training decide together. Each checkpoint
    contains the best weights so far. Saving copies the local shards to the host; background threads
    write and verify them, and a failure raises RunFolderError at the next call.

    Args:
        run: run folder.
        saving: checkpoint schedule.
        stop: returns the number of a signal that requests a stop, or None.
        warn: receives a sentence for each damaged checkpoint.
        resume_command: command that resumes the training, for the message of StoppedError (default:
            that of `mlp-jax train`).
    """

    def __init__(
        self,
        run: Path,
        saving: Saving,
        stop: Callable[[], int | None] = lambda: None,
        warn: Callable[[str], None] = warnings.warn,
        resume_command: str | None = None,
    ) -> None:
        self._run, self._saving, self._stop = run, saving, stop
        self._resume_command = resume_command or f"mlp-jax train --resume {shlex.quote(str(run))}"
        self._plain = PlainPath(run / FOLDER)
        self._worker = ThreadPoolExecutor(1, "checkpoints")
        self._opened = self._worker.submit(_open, run, warn)
        self._pending: Future[None] | None = None
        self._saved = (time.monotonic(), 0, 0)

    def on_call_end(self, end: CallEnd) -> None:
        """Save a checkpoint if it is due; raise StoppedError if a stop was requested."""
        self._keep(end.snapshot, last=False)

    def on_end(self, snapshot: Snapshot) -> None:
        """Save the final state."""
        self._keep(snapshot, last=True)

    def _keep(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._pending is not None and self._pending.done():
            self._wait_for_save()
        step = int(snapshot.state.step)
        number, due = agree_on_saving(self._stop(), self._is_due(snapshot, step), last)
        if due and step != self._saved[1]:
            self._save(snapshot, step)
        ends = last or number is not None
        if ends:
            self._wait_for_save()
            allreduce_max(0)  # no process leaves before process 0 has committed
        if number is not None and not last:
            raise StoppedError(number, self._stopped(number, step))

    def restore(self, state: State) -> Snapshot | None:
        """Return the newest intact snapshot, the same in all processes; None without checkpoints.

        Args:
            state: state at step 0, for shapes and placement.

        Raises:
            RunFolderError: if all checkpoints are damaged, or the shapes are those of another run.
        """
        saved = broadcast_json(any((self._run / FOLDER).glob("*")))
        if not saved:  # avoids waiting for the import of Orbax
            return None
        on_first(self._opened.result)
        step = broadcast_json(newest_step(self._run))
        if step is None:
            return None
        snapshot = read(self._opened.result(), self._for_orbax(step), state)
        self._saved = (time.monotonic(), step, snapshot.position.epoch - 1)
        return snapshot

    def close(self) -> None:
        """Wait for pending writes."""
        self._worker.shutdown()
        if self._opened.exception() is None:
            self._opened.result().close()
        self._plain.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _folder(self, step: int) -> Path:
        return self._run / FOLDER / str(step)

    def _for_orbax(self, step: int) -> Path:
        """Return the folder of a checkpoint as a path that Orbax can read."""
        return self._plain.path / str(step)

    def _is_due(self, snapshot: Snapshot, step: int) -> bool:
        when, last_step, last_epoch = self._saved
        gone = {
            "seconds": time.monotonic() - when,
            "steps": step - last_step,
            "epochs": snapshot.position.epoch - 1 - last_epoch,
        }[self._saving.unit]
        return 0 < self._saving.amount <= gone

    def _save(self, snapshot: Snapshot, step: int) -> None:
        self._wait_for_save()
        leaves = jax.tree.leaves((snapshot.state, weights_of(snapshot.best)))
        on_first(lambda: self._check_room(sum(leaf.nbytes for leaf in leaves)))
        if jax.process_count() == 1:
            self._pending = self._worker.submit(self._write, _on_host(snapshot), step)
        else:
            jax.block_until_ready(leaves)  # raises if another process is lost
            with self._as_run_folder_error():
                begin(self._opened.result(), self._for_orbax(step), snapshot)
            self._pending = self._worker.submit(self._finish, step)
        self._saved = (time.monotonic(), step, snapshot.position.epoch - 1)

    def _check_room(self, size: int) -> None:
        """Raise RunFolderError if the disk cannot hold a checkpoint of this many bytes.

        Checked in advance, because the error of Orbax on a full disk is long and unclear.
        """
        free, needed = shutil.disk_usage(self._run).free, 1.1 * size + SMALL_FILES
        if free < needed:
            raise RunFolderError(
                f"Could not save a checkpoint in {self._run}: the disk is full ({free / 1e6:.1f} MB"
                f" free, {needed / 1e6:.1f} MB needed). Earlier checkpoints are unchanged."
            )

    def _write(self, snapshot: Snapshot, step: int) -> None:
        begin(self._opened.result(), self._for_orbax(step), snapshot)
        check_read_back(self._opened.result(), self._for_orbax(step), snapshot)
        self._finish(step)

    def _finish(self, step: int) -> None:
        """Wait until all processes have written, then commit the checkpoint."""
        finish(self._opened.result())
        if is_first():
            write_commit_marker(self._folder(step))
            keep_newest(self._run, self._saving.keep)

    def _stopped(self, number: int, step: int) -> str:
        name, command = signal.Signals(number).name, self._resume_command
        return f"Stopped by {name} after step {step}, which is saved. To resume: {command}"

    def _wait_for_save(self) -> None:
        """Wait for the pending save, and raise its error."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._as_run_folder_error():
                pending.result()

    @contextlib.contextmanager
    def _as_run_folder_error(self) -> Iterator[None]:
        """Turn a failure to save into RunFolderError, except for a lost process."""
        try:
            yield
        except Exception as error:  # TensorStore raises ValueError, Orbax many types
            if is_lost_process(error):
                raise
            raise RunFolderError(
                f"Could not save a checkpoint in {self._run}: {_reason(error)}."
                " Earlier checkpoints are unchanged."
            ) from error


def _open(run: Path, warn: Callable[[str], None]) -> Any:
    """Quarantine damaged checkpoints, and return the Orbax checkpointer."""
    if is_first():
        quarantine_damaged(run, warn)
        (run / FOLDER).mkdir(parents=True, exist_ok=True)
    return open_checkpointer()


def _on_host(snapshot: Snapshot) -> Snapshot:
    """Return a copy with arrays on the host."""
    state, weights = to_host((snapshot.state, weights_of(snapshot.best)))
    best = snapshot.best
    if best is not None:
        best = best._replace(params=weights[0], layer_state=weights[1])
    return Snapshot(state, snapshot.position, best)


def _reason(error: Exception) -> str:
    text = str(error)
    if "No space left" in text or getattr(error, "errno", None) == 28:
        return "the disk is full"
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__
