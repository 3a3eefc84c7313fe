"""Checkpoints: a run's snapshot on disk, saved beside the training, read back or refused.

A checkpoint is Orbax's folder with the leaves of the state (and of the best weights) and a record
of where the run stood. It counts once the checksums of its files lie in it, which are written last,
by the first process, when all have written their parts. One process reads back what it wrote first.
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
    """How often a run saves itself, and how many checkpoints stay.

    Every `amount` seconds, steps or epochs (`unit`), at the end of a compiled call; amount 0: at
    the end of the run alone. InputError for fewer than two that stay.
    """

    amount: float
    unit: str
    keep: int = 3

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise InputError(
                f"At least 2 checkpoints are kept, not {self.keep}: one is whole while the next"
                " is written."
            )

    @classmethod
    def parse(cls, every: str, keep: int = 3) -> "Saving":
        """every: "20s", "500 steps", "2 epochs" or "never"; InputError for anything else."""
        if every.strip() == "never":
            return cls(0, "seconds", keep)
        found = _INTERVAL.fullmatch(every)
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"Checkpoints are saved every '20s', '500 steps', '2 epochs' or 'never', not every"
                f" '{every}'."
            )
        return cls(float(found[1]), _UNITS[found[2].rstrip("s")], keep)


class Checkpoints(Callback):
    """The checkpoints of a folder, as a callback of a training.

    Saves when `saving` says so, at the end, and when `stop` gives a signal, after which it raises
    StoppedError; of processes that train together all have one, and do what any of them is to do.
    The newest few stay, each with the best weights so far. Saving costs the training a copy on the
    host, of what the process's devices hold; other threads write it and check it. Raises
    RunFolderError where it cannot be written, at the next call. `tell` is told of a damaged
    checkpoint; `again` is the command to go on with, else that of a run.
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
        """Save if it is time; raise StoppedError if the process was asked to stop."""
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
            allreduce_max(0)  # no process leaves before the first has sealed what all have written
        if number is not None and not last:
            raise StoppedError(number, self._stopped(number, step))

    def restore(self, state: Any) -> Snapshot | None:
        """The newest snapshot that is whole, None where none was saved; on all processes alike.

        state: that of step 0, for the shapes and places. Raises RunFolderError where every
        checkpoint is damaged, or the newest holds other arrays than this run's.
        """
        saved = broadcast_json(any((self._run / FOLDER).glob("*")))
        if not saved:  # no need to wait for Orbax's import
            return None
        on_first(self._opened.result)
        step = broadcast_json(newest_step(self._run))
        if step is None:
            return None
        snapshot = read(self._opened.result(), self._for_orbax(step), state)
        self._saved = (time.monotonic(), step, snapshot.position.epoch - 1)
        return snapshot

    def close(self) -> None:
        """Waits for what is being written."""
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
        """The same folder, by a path that Orbax can read."""
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
            jax.block_until_ready(leaves)  # raises by itself where another process is gone
            with self._as_run_folder_error():
                begin(self._opened.result(), self._for_orbax(step), snapshot)
            self._pending = self._worker.submit(self._finish, step)
        self._saved = (time.monotonic(), step, snapshot.position.epoch - 1)

    def _check_room(self, size: int) -> None:
        """RunFolderError where the disk has no room for a checkpoint of that many bytes.

        Looked at first: what Orbax says of a disk that fills up under it is long.
        """
        free, needed = shutil.disk_usage(self._run).free, 1.1 * size + SMALL_FILES
        if free < needed:
            raise RunFolderError(
                f"Could not save a checkpoint in {self._run}: the disk is full ({free / 1e6:.1f} MB"
                f" free, {needed / 1e6:.1f} MB needed). The checkpoints before it stay as they are."
            )

    def _write(self, snapshot: Snapshot, step: int) -> None:
        begin(self._opened.result(), self._for_orbax(step), snapshot)
        check_read_back(self._opened.result(), self._for_orbax(step), snapshot)
        self._finish(step)

    def _finish(self, step: int) -> None:
        """Waits until all processes have written; then the checkpoint counts."""
        finish(self._opened.result())
        if is_first():
            write_commit_marker(self._folder(step))
            keep_newest(self._run, self._saving.keep)

    def _stopped(self, number: int, step: int) -> str:
        name, command = signal.Signals(number).name, self._resume_command
        return f"Stopped by {name} after step {step}, which is saved. To resume: {command}"

    def _wait_for_save(self) -> None:
        """Waits for the save under way, and raises what went wrong in it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._as_run_folder_error():
                pending.result()

    @contextlib.contextmanager
    def _as_run_folder_error(self) -> Iterator[None]:
        """Turns what goes wrong in saving into a sentence, but for a process that is gone."""
        try:
            yield
        except Exception as error:  # tensorstore's errors are ValueErrors, Orbax's of many kinds
            if is_lost_process(error):
                raise
            raise RunFolderError(
                f"Could not save a checkpoint in {self._run}: {_reason(error)}. The checkpoints"
                " before it stay as they are."
            ) from error


def _open(run: Path, warn: Callable[[str], None]) -> Any:
    """Orbax's checkpointer, imported off the critical path, once what is damaged is put aside."""
    if is_first():
        quarantine_damaged(run, warn)
        (run / FOLDER).mkdir(parents=True, exist_ok=True)
    return open_checkpointer()


def _on_host(snapshot: Snapshot) -> Snapshot:
    """A copy with arrays on the host."""
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
