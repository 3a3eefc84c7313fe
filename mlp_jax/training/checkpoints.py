"""Checkpoints: a run's snapshot on disk, saved beside the training, read back or refused.

A checkpoint is Orbax's folder with the leaves of the state (and of the best weights) and a record
of where the run stood. It counts once the checksums of its files lie in it, which are written last.
"""

import re
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlp_jax.errors import InputError, RunFolderError, StoppedError
from mlp_jax.training.mesh.processes import placed, shared, to_host, wished
from mlp_jax.training.snapshot import Best, Position, Snapshot
from mlp_jax.training.wholeness import FOLDER, put_damage_aside, seal

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


class Following:
    """The `Keeper` of a process that writes nothing: it hands the first one what that saves."""

    def __init__(self, stop: Callable[[], int | None]) -> None:
        self._stop, self._saved = stop, 0

    def __call__(self, snapshot: Snapshot, *, last: bool) -> None:
        """Takes part in a save; raises StoppedError where any process was asked to stop."""
        step = int(snapshot.state.step)
        number, due = wished(self._stop(), False, last)
        if due and step != self._saved:
            to_host((snapshot.state, _weights(snapshot.best)))
            self._saved = step
        if number is not None and not last:
            raise StoppedError(number, f"Stopped by {signal.Signals(number).name} with the others.")

    def restore(self, like: Any) -> Snapshot | None:
        """What the first process has read."""
        snapshot = shared(None, like)
        if snapshot is None:
            return None
        self._saved = int(snapshot.state.step)
        return placed(snapshot, like)


class Checkpoints:
    """The checkpoints of a run folder, as the `Keeper` of a training.

    Saves when `saving` says so, at the end, and when `stop` gives a signal, after which it raises
    StoppedError. The newest few stay, each with the best weights so far. Saving costs the
    training a copy of the state; a thread of its own checks and writes it. Raises RunFolderError
    where it cannot be written, at the next call. `tell` is told of a damaged checkpoint; `again`
    is the command to go on with, else that of a run.
    """

    def __init__(
        self,
        run: Path,
        saving: Saving,
        stop: Callable[[], int | None] = lambda: None,
        tell: Callable[[str], None] = warnings.warn,
        again: str | None = None,
    ) -> None:
        self._run, self._saving, self._stop = run, saving, stop
        self._again = again or f"mlp-jax train --resume {run}"
        self._worker = ThreadPoolExecutor(1, "checkpoints")
        self._manager = self._worker.submit(_open, run, saving.keep, tell)
        self._pending: Future[None] | None = None
        self._saved = (time.monotonic(), 0, 0)

    def __call__(self, snapshot: Snapshot, *, last: bool) -> None:
        """Saves if it is time; raises StoppedError where the process was asked to stop."""
        if self._pending is not None and self._pending.done():
            self._settle()
        step = int(snapshot.state.step)
        number, due = wished(self._stop(), self._is_due(snapshot, step), last)
        if due and step != self._saved[1]:
            self._save(snapshot, step)
        ends = last or number is not None
        if ends:
            self._settle()
        if number is not None and not last:
            raise StoppedError(number, self._stopped(number, step))

    def restore(self, like: Any) -> Snapshot | None:
        """The newest snapshot that is whole, None where none was saved; on all processes alike.

        like: the state of step 0, for the shapes and places. Raises RunFolderError where every
        checkpoint is damaged, or the newest holds other arrays than this run's.
        """
        snapshot = shared(self._restored(like), like)
        return None if snapshot is None else placed(snapshot, like)

    def _restored(self, like: Any) -> Snapshot | None:
        """What there is on disk, with arrays on the host."""
        if not any((self._run / FOLDER).glob("*")):  # no need to wait for Orbax's import
            return None
        manager = self._manager.result()
        step = manager.latest_step()
        if step is None:
            return None
        snapshot = _read(manager, step, like)
        self._saved = (time.monotonic(), step, snapshot.position.epoch - 1)
        return snapshot

    def close(self) -> None:
        """Waits for what is being written."""
        self._worker.shutdown()
        if self._manager.exception() is None:
            self._manager.result().close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _is_due(self, snapshot: Snapshot, step: int) -> bool:
        when, last_step, last_epoch = self._saved
        gone = {
            "seconds": time.monotonic() - when,
            "steps": step - last_step,
            "epochs": snapshot.position.epoch - 1 - last_epoch,
        }[self._saving.unit]
        return 0 < self._saving.amount <= gone

    def _save(self, snapshot: Snapshot, step: int) -> None:
        self._settle()
        host = to_host((snapshot.state, _weights(snapshot.best)))
        self._check_room(sum(leaf.nbytes for leaf in jax.tree.leaves(host)))
        copied = Snapshot(host[0], snapshot.position, _with_weights(snapshot.best, host[1]))
        self._pending = self._worker.submit(self._write, copied, step)
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
        manager = self._manager.result()
        if step in manager.all_steps():
            manager.delete(step)
        manager.save(step, args=_arguments(snapshot), force=True)
        seal(self._run / FOLDER / str(step))

    def _stopped(self, number: int, step: int) -> str:
        name = signal.Signals(number).name
        return f"Stopped by {name} after step {step}, which is saved; go on with: {self._again}"

    def _settle(self) -> None:
        """Waits for the save under way, and raises what went wrong in it."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:  # tensorstore's errors are ValueErrors, Orbax's of many kinds
            raise RunFolderError(
                f"Could not save a checkpoint in {self._run}: {_reason(error)}. The checkpoints"
                " before it stay as they are."
            ) from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "No space left" in text or getattr(error, "errno", None) == 28:
        return "the disk is full"
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__


def _weights(best: Best | None) -> Any:
    return () if best is None else (best.params, best.layer_state)


def _with_weights(best: Best | None, weights: Any) -> Best | None:
    return None if best is None else best._replace(params=weights[0], layer_state=weights[1])


def _open(run: Path, keep: int, tell: Callable[[str], None]) -> Any:
    """Orbax's manager of what is whole. Imported here, in the worker, off the critical path."""
    import orbax.checkpoint as ocp

    put_damage_aside(run, tell)
    (run / FOLDER).mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}
        ),
    )
    return ocp.CheckpointManager(
        (run / FOLDER).absolute(), options=options, item_names=("leaves", "position")
    )


def _named(tree: Any) -> dict[str, Any]:
    return {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _arguments(snapshot: Snapshot) -> Any:
    """What Orbax saves: the leaves by number, and all else as JSON."""
    import orbax.checkpoint as ocp

    leaves = _named((snapshot.state, _weights(snapshot.best)))
    best = snapshot.best
    record = {
        "position": snapshot.position._asdict(),
        "best": None if best is None else [best.score, best.loss, best.epoch],
        "leaves": {
            name: {"shape": leaf.shape, "dtype": str(leaf.dtype)} for name, leaf in leaves.items()
        },
    }
    return ocp.args.Composite(
        leaves=ocp.args.StandardSave(leaves), position=ocp.args.JsonSave(record)
    )


def _read(manager: Any, step: int, like: Any) -> Snapshot:
    """The snapshot of a step; RunFolderError where its arrays are not the run's."""
    import orbax.checkpoint as ocp

    found = manager.restore(step, args=ocp.args.Composite(position=ocp.args.JsonRestore()))
    record = found["position"]
    best = record["best"]
    expected = (like, () if best is None else (like.params, like.layer_state))
    shapes = {
        name: (list(leaf.shape), np.dtype(leaf.dtype).name)
        for name, leaf in _named(expected).items()
    }
    saved = {name: (of["shape"], of["dtype"]) for name, of in record["leaves"].items()}
    if shapes != saved:
        raise RunFolderError(
            f"The checkpoint of step {step} holds other arrays than this run's: it comes from"
            " another network or optimizer, or from other versions of JAX or Optax."
        )
    target = {name: np.empty(shape, dtype) for name, (shape, dtype) in shapes.items()}
    leaves = manager.restore(
        step, args=ocp.args.Composite(leaves=ocp.args.StandardRestore(target))
    )["leaves"]
    read = [leaves[name] for name in shapes]
    state, weights = jax.tree.unflatten(jax.tree.structure(expected), read)
    position = Position.of(record["position"])
    return Snapshot(state, position, None if best is None else Best(*best, *weights))
