"""Several processes that train as one: how they meet, agree, and tell one another what they know.

Each process sees its own devices and runs the same program; the mesh is over all of them. What is
decided outside of the program (to save, to stop) must be decided by all alike, or they wait for one
another for ever. On one process everything here is the identity.
"""

import contextlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding

from mlp_jax.errors import DeviceError, InputError, MlpJaxError, RunFolderError
from mlp_jax.training.mesh.lost_process import (
    is_lost_process,
    lost_process_error,
    report_on_abort,
)

MEETING_SECONDS = 120
SILENT_SECONDS = 20


class Cluster(NamedTuple):
    """How the processes find each other; None where the scheduler says it (JAX asks it)."""

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def join(cluster: Cluster) -> None:
    """Meets the other processes. InputError for half an address, DeviceError where none answers.

    A process that is silent for 20 s is taken for dead, which ends the others. One that does not
    come, or is killed before all have met, ends those that wait for it after 120 s.
    """
    given = [value is not None for value in cluster]
    if any(given) and not all(given):
        raise InputError(
            "Processes that no scheduler started need all three: --coordinator HOST:PORT,"
            " --processes and --process-id."
        )
    report_on_abort(
        DeviceError(
            "The processes did not meet: another one is gone, or could not be"
            f" reached within {MEETING_SECONDS} s. Start all of them again; what is saved stays."
        )
    )
    try:
        jax.distributed.initialize(
            *cluster,
            initialization_timeout=MEETING_SECONDS,
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=MEETING_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        report_on_abort(None)
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DeviceError(
            f"The processes did not meet: {reason}. Without SLURM, Open MPI or Kubernetes they"
            " need --coordinator, --processes and --process-id."
        ) from None
    report_on_abort(lost_process_error() if jax.process_count() > 1 else None)


@contextlib.contextmanager
def process_group(distributed: bool) -> Iterator[None]:
    """A block that processes go through together, and leave together.

    One that fails says why and ends at once: leaving in good order means to wait for the others,
    which wait for it. They find its connection closed, or miss it after 20 s.
    """
    try:
        yield
        if distributed:
            allreduce_max(0)  # who waits here for the first one hears at once if that is killed
    except Exception as error:
        if not distributed or jax.process_count() == 1:
            raise
        sys.stdout.flush()
        known = _known_error(error)
        if known is None:
            traceback.print_exc()
            os._exit(1)
        print(f"mlp-jax: {known}", file=sys.stderr, flush=True)
        os._exit(known.exit_code)
    if distributed:
        jax.distributed.shutdown()


def _known_error(error: Exception) -> MlpJaxError | None:
    """The error as a user is told of it; None for one that nobody foresaw."""
    if isinstance(error, MlpJaxError):
        return error
    reason = " ".join(str(error).split())[:200].rstrip(".")
    if is_lost_process(error):
        return lost_process_error(reason)
    if "RESOURCE_EXHAUSTED" in reason:
        return DeviceError(f"The memory of a device is full: {reason}.")
    return None


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return jax.process_index() == 0


def broadcast_folder(folder: Path | None) -> Path:
    """The first process's folder, on all; RunFolderError where another does not see it."""
    name = broadcast_json(None if folder is None else str(folder.absolute()))
    if is_first():
        assert folder is not None
        return folder
    if not Path(name).is_dir():
        raise RunFolderError(
            f"Process {jax.process_index()} does not see the folder {name}: processes that train"
            " together need a file system that they share."
        )
    return Path(name)


def to_mesh(array: np.ndarray, where: NamedSharding) -> jax.Array:
    """An array that every process holds, on the mesh: each takes its devices' part of it."""
    return jax.make_array_from_callback(array.shape, where, lambda index: array[index])


def to_host(tree: Any) -> Any:
    """The whole arrays as NumPy's, in memory of their own. Every process must ask for them."""
    if jax.process_count() == 1:
        return jax.tree.map(lambda leaf: np.array(leaf), tree)
    from jax.experimental import multihost_utils

    def gathered(leaf: Any) -> np.ndarray:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return np.array(leaf)
        if leaf.is_fully_replicated:
            return np.array(leaf.addressable_data(0))
        return np.array(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(gathered, tree)


def read(tree: Any) -> Any:
    """The whole arrays as NumPy's, to look at. Every process must ask for them."""
    return jax.device_get(tree) if jax.process_count() == 1 else to_host(tree)


def allgather(array: np.ndarray) -> np.ndarray:
    """(P, ...) what each of the P processes has, bit for bit, on all of them; of one shape."""
    if jax.process_count() == 1:
        return array[None]
    from jax.experimental import multihost_utils

    own = np.ascontiguousarray(array)  # as bytes: JAX takes 64 bits only where they are allowed
    all_bytes = multihost_utils.process_allgather(own.reshape(-1).view(np.uint8))
    return np.ascontiguousarray(all_bytes).view(own.dtype).reshape(-1, *own.shape)


def allgather_json(value: Any) -> list[Any]:
    """What each process says, in their order, on all of them: a value as JSON takes it."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    (length,) = allreduce_max(len(text))
    padded = np.zeros(length, np.uint8)
    padded[: len(text)] = text
    return [json.loads(heard.tobytes().rstrip(b"\0")) for heard in allgather(padded)]


def count_machines() -> int:
    """On how many machines the processes run, as far as their names tell them apart."""
    return len(set(allgather_json(socket.gethostname())))


def allreduce_max(*numbers: int) -> tuple[int, ...]:
    """The largest that any process says, of each of these numbers."""
    if jax.process_count() == 1:
        return numbers
    from jax.experimental import multihost_utils

    said = multihost_utils.process_allgather(np.asarray(numbers, np.int32))
    return tuple(int(most) for most in np.max(said, axis=0))


def broadcast_json(value: Any) -> Any:
    """What the first process says, on all: a value as JSON takes it."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    (length,) = allreduce_max(len(text) if is_first() else 0)
    padded = np.zeros(length, np.uint8)
    padded[: min(len(text), length)] = text[:length]
    heard = np.asarray(multihost_utils.broadcast_one_to_all(padded))
    return json.loads(heard.tobytes().decode())


def agree_on_saving(number: int | None, due: bool, last: bool) -> tuple[int | None, bool]:
    """(the signal that asks to stop, whether to save): what any process wishes, on all."""
    signal, save = allreduce_max(number or 0, due or last or number is not None)
    return signal or None, bool(save)


def on_first(work: Callable[[], object]) -> None:
    """Does the work on the first process; where it fails, all of them do, with its message."""
    failed: MlpJaxError | None = None
    if is_first():
        try:
            work()
        except MlpJaxError as error:
            failed = error
    said = broadcast_json(None if failed is None else str(failed))
    if failed is not None:
        raise failed
    if said is not None:
        raise InputError(said)
