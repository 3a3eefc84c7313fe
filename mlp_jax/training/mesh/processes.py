"""Distributed training: join the processes, broadcast and reduce values on the host.

Each process sees its local devices and runs the same program on a mesh over all of them. Decisions
outside of the program, such as to save or to stop, must be the same in all processes, or they
deadlock. In a single process, all functions are the identity.
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
from jaxtyping import PyTree

from mlp_jax.errors import DeviceError, InputError, MlpJaxError, RunFolderError
from mlp_jax.training.mesh.lost_process import (
    is_lost_process,
    lost_process_error,
    report_on_abort,
)

CONNECT_SECONDS = 120
HEARTBEAT_SECONDS = 20


class Cluster(NamedTuple):
    """Address of a distributed training; None for values that the scheduler provides.

    Attributes:
        coordinator: HOST:PORT of process 0.
        processes: number of processes.
        process_id: number of this process, from 0.
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def join(cluster: Cluster) -> None:
    """Join the other processes.

    A process that is silent for 20 s counts as lost, which ends the others. Waiting for a process
    that does not start ends after 120 s.

    Raises:
        InputError: if only a part of the address is given.
        DeviceError: if the processes cannot connect.
    """
    given = [value is not None for value in cluster]
    if any(given) and not all(given):
        raise InputError(
            "Without a scheduler, distributed training needs all of --coordinator HOST:PORT,"
            " --processes and --process-id."
        )
    report_on_abort(
        DeviceError(
            "The processes could not connect: another one was lost, or did not answer within"
            f" {CONNECT_SECONDS} s. Start all of them again; saved checkpoints are kept."
        )
    )
    try:
        jax.distributed.initialize(
            *cluster,
            initialization_timeout=CONNECT_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=CONNECT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        report_on_abort(None)
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DeviceError(
            f"The processes could not connect: {reason}. Without SLURM, Open MPI or Kubernetes"
            " they need --coordinator, --processes and --process-id."
        ) from None
    report_on_abort(lost_process_error() if jax.process_count() > 1 else None)


@contextlib.contextmanager
def process_group(distributed: bool) -> Iterator[None]:
    """Run a block in all processes, and leave it together.

    A process that fails prints its error and exits at once: an orderly shutdown would wait for the
    others, which wait for it. They notice the closed connection, or the missing heartbeat after 20
    s.
    """
    try:
        yield
        if distributed:
            allreduce_max(0)  # detects at once that process 0 was killed
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
    """Return the error for the user; None for an unexpected one."""
    if isinstance(error, MlpJaxError):
        return error
    reason = " ".join(str(error).split())[:200].rstrip(".")
    if is_lost_process(error):
        return lost_process_error(reason)
    if "RESOURCE_EXHAUSTED" in reason:
        return DeviceError(f"The memory of a device is full: {reason}.")
    return None


def is_first() -> bool:
    """Return whether this is process 0, which prints and writes."""
    return jax.process_index() == 0


def broadcast_folder(folder: Path | None) -> Path:
    """Broadcast the folder of process 0; raise RunFolderError where it is not visible."""
    name = broadcast_json(None if folder is None else str(folder.absolute()))
    if is_first():
        assert folder is not None
        return folder
    if not Path(name).is_dir():
        raise RunFolderError(
            f"Process {jax.process_index()} cannot see the folder {name}: distributed training"
            " needs a shared file system."
        )
    return Path(name)


def to_mesh(array: np.ndarray, where: NamedSharding) -> jax.Array:
    """Place an array that every process holds on the mesh."""
    return jax.make_array_from_callback(array.shape, where, lambda index: array[index])


def to_host(tree: PyTree) -> Any:
    """Return whole arrays as NumPy copies. Every process must call this."""
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


def read(tree: PyTree) -> Any:
    """Return whole arrays as read-only NumPy arrays. Every process must call this."""
    return jax.device_get(tree) if jax.process_count() == 1 else to_host(tree)


def allgather(array: np.ndarray) -> np.ndarray:
    """Gather an array from each of P processes, bit for bit, as (P, ...); all of one shape."""
    if jax.process_count() == 1:
        return array[None]
    from jax.experimental import multihost_utils

    own = np.ascontiguousarray(array)  # as bytes: JAX allows 64 bits only with x64
    all_bytes = multihost_utils.process_allgather(own.reshape(-1).view(np.uint8))
    return np.ascontiguousarray(all_bytes).view(own.dtype).reshape(-1, *own.shape)


def allgather_json(value: Any) -> list[Any]:
    """Gather a JSON value from each process, in order."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    (length,) = allreduce_max(len(text))
    padded = np.zeros(length, np.uint8)
    padded[: len(text)] = text
    return [json.loads(heard.tobytes().rstrip(b"\0")) for heard in allgather(padded)]


def count_machines() -> int:
    """Return the number of machines of the processes, by host name."""
    return len(set(allgather_json(socket.gethostname())))


def allreduce_max(*numbers: int) -> tuple[int, ...]:
    """Return the element-wise maximum of the numbers over all processes."""
    if jax.process_count() == 1:
        return numbers
    from jax.experimental import multihost_utils

    said = multihost_utils.process_allgather(np.asarray(numbers, np.int32))
    return tuple(int(most) for most in np.max(said, axis=0))


def broadcast_json(value: Any) -> Any:
    """Broadcast a JSON value from process 0."""
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
    """Return (stop signal, whether to save), combined over all processes."""
    signal, save = allreduce_max(number or 0, due or last or number is not None)
    return signal or None, bool(save)


def on_first(work: Callable[[], object]) -> None:
    """Run a function in process 0; if it fails, raise its error in all processes."""
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
