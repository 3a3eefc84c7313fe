"""Checkpoints: a run's snapshot on disk, saved beside the training, read back or refused.

A checkpoint is Orbax's folder with the leaves of the state (and of the best weights) and a record
of where the run stood. It counts once the checksums of its files lie in it, which are written last.
"""

import json
import re
import shutil
import signal
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.errors import InputError, RunFolderError, StoppedError
from mlp_jax.files import write_json_atomic
from mlp_jax.training.epoch import TrainState
from mlp_jax.training.snapshot import Best, Position, Snapshot

FOLDER = "checkpoints"
DAMAGED = "damaged"
CHECKSUMS = "checksums.json"
SMALL_FILES = 200_000  # bytes of a checkpoint besides its arrays
_INTERVAL = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(s|seconds?|steps?|epochs?)\s*")


@dataclass(frozen=True)
class Interval:
    """How often to save: every so many seconds, steps or epochs; amount 0: at the end alone."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """ "20s", "500 steps", "2 epochs" or "never"; InputError for anything else."""
        if text.strip() == "never":
            return cls(0, "seconds")
        found = _INTERVAL.fullmatch(text)
        unit = {"s": "seconds", "st": "steps", "e": "epochs"}
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"Checkpoints are saved every '20s', '500 steps', '2 epochs' or 'never', not every"
                f" '{text}'."
            )
        word = found[2]
        return cls(float(found[1]), unit["st" if word.startswith("st") else word[0]])


class Checkpoints:
    """The checkpoints of a run folder, as the `Keeper` of a training.

    Saves when `every` says so, at the end, and when `stop` gives a signal, after which it raises
    StoppedError. The newest `keep` stay, each with the best weights so far. Saving costs the
    training a copy of the state; a thread of its own checks and writes it. Raises RunFolderError
    where it cannot be written, at the next call. `tell` is told of a damaged checkpoint.
    """

    def __init__(
        self,
        run: Path,
        every: Interval,
        keep: int = 3,
        stop: Callable[[], int | None] = lambda: None,
        tell: Callable[[str], None] = warnings.warn,
    ) -> None:
        if keep < 2:
            raise InputError(
                f"At least 2 checkpoints are kept, not {keep}: one is whole while the next is"
                " written."
            )
        self._run, self._every, self._stop = run, every, stop
        self._worker = ThreadPoolExecutor(1, "checkpoints")
        self._manager = self._worker.submit(_open, run, keep, tell)
        self._pending: Future[None] | None = None
        self._saved = (time.monotonic(), 0, 0)

    def __call__(self, snapshot: Snapshot, *, last: bool) -> None:
        """Saves if it is time; raises StoppedError where the process was asked to stop."""
        if self._pending is not None and self._pending.done():
            self._settle()
        number = self._stop()
        ends = last or number is not None
        step = int(snapshot.state.step)
        if (ends or self._is_due(snapshot, step)) and step != self._saved[1]:
            self._save(snapshot, step)
        if ends:
            self._settle()
        if number is not None and not last:
            raise StoppedError(number, _stopped(number, step, self._run))

    def restore(self, like: TrainState) -> Snapshot | None:
        """The newest snapshot that is whole, None where none was saved.

        like: the state of step 0, for the shapes. Raises RunFolderError where every checkpoint is
        damaged, or the newest holds other arrays than this run's.
        """
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
        }[self._every.unit]
        return 0 < self._every.amount <= gone

    def _save(self, snapshot: Snapshot, step: int) -> None:
        self._settle()
        host = jax.tree.map(lambda leaf: np.array(leaf), (snapshot.state, _weights(snapshot.best)))
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
        folder = self._run / FOLDER / str(step)
        write_json_atomic(folder / CHECKSUMS, _checksums(folder))

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


def _stopped(number: int, step: int, run: Path) -> str:
    name = signal.Signals(number).name
    return (
        f"Stopped by {name} after step {step}, which is saved; go on with:"
        f" mlp-jax train --resume {run}"
    )


def _weights(best: Best | None) -> Any:
    return () if best is None else (best.params, best.layer_state)


def _with_weights(best: Best | None, weights: Any) -> Best | None:
    return None if best is None else Best(best.score, best.epoch, *weights)


def _put_damage_aside(run: Path, tell: Callable[[str], None]) -> None:
    """Leaves only checkpoints in the folder that are whole, from the newest down to the first one.

    What a process left behind that ended while it saved is deleted. RunFolderError where damage
    leaves none.
    """
    folders = [path for path in (run / FOLDER).glob("*") if path.name.isdigit()]
    damaged = False
    for folder in sorted(folders, key=lambda path: int(path.name), reverse=True):
        if not (folder / CHECKSUMS).exists():
            shutil.rmtree(folder)
            continue
        wrong = _first_wrong_file(folder)
        if wrong is None:
            return
        damaged = True
        aside = run / DAMAGED / folder.name
        tell(
            f"The checkpoint of step {folder.name} is damaged ({wrong}); it is put aside in"
            f" {aside}, and the one before it is taken."
        )
        aside.parent.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        folder.replace(aside)
    if damaged:
        raise RunFolderError(
            f"No checkpoint in {run} is whole; the damaged ones are in {run / DAMAGED}."
        )


def _open(run: Path, keep: int, tell: Callable[[str], None]) -> Any:
    """Orbax's manager of what is whole. Imported here, in the worker, off the critical path."""
    import orbax.checkpoint as ocp

    _put_damage_aside(run, tell)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=True,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
    )
    return ocp.CheckpointManager(
        (run / FOLDER).absolute(), options=options, item_names=("leaves", "position")
    )


def _checksums(folder: Path) -> dict[str, int]:
    """The CRC-32 of every file of a checkpoint but the list of them itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): zlib.crc32(path.read_bytes())
        for path in files
        if path.name != CHECKSUMS
    }


def _first_wrong_file(folder: Path) -> str | None:
    """The first file of a checkpoint that is not as it was saved, in words; None for none."""
    try:
        saved = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        found = _checksums(folder)
    except (OSError, ValueError) as error:
        return f"{CHECKSUMS}: {' '.join(str(error).split())}"
    for name in sorted(saved.keys() | found.keys()):
        if name not in found:
            return f"{name} is gone"
        if saved.get(name) != found[name]:
            return f"{name} is not as it was saved"
    return None


def _named(tree: Any) -> dict[str, Any]:
    return {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _arguments(snapshot: Snapshot) -> Any:
    """What Orbax saves: the leaves by number, and all else as JSON."""
    import orbax.checkpoint as ocp

    leaves = _named((snapshot.state, _weights(snapshot.best)))
    best = snapshot.best
    record = {
        "position": snapshot.position._asdict(),
        "best": None if best is None else {"score": best.score, "epoch": best.epoch},
        "leaves": {
            name: {"shape": leaf.shape, "dtype": str(leaf.dtype)} for name, leaf in leaves.items()
        },
    }
    return ocp.args.Composite(
        leaves=ocp.args.StandardSave(leaves), position=ocp.args.JsonSave(record)
    )


def _read(manager: Any, step: int, like: TrainState) -> Snapshot:
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
    owned = [jnp.array(leaves[name], copy=True) for name in shapes]
    state, weights = jax.tree.unflatten(jax.tree.structure(expected), owned)
    at = record["position"]
    position = Position(**{**at, "history": tuple(at["history"])})
    return Snapshot(
        state, position, None if best is None else Best(best["score"], best["epoch"], *weights)
    )
