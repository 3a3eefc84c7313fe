"""Steps that a run and a sweep share: joining processes, printing, checking data, divergence."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlp_jax.errors import DivergedError, InputError
from mlp_jax.training.mesh.processes import Cluster, is_first, join
from mlp_jax.training.run.options import ProcessOptions, check_processes

Say = Callable[[str], None]


def join_processes(options: ProcessOptions) -> None:
    """Join the other processes of a distributed training."""
    check_processes(options)
    if options.distributed:
        join(Cluster(options.coordinator, options.processes, options.process_id))


def in_first_process(say: Say, bar: bool) -> tuple[Say, bool]:
    """Return (say, bar) for process 0, and silence for all others."""
    return (say, bar) if is_first() else (lambda text: None, False)


def check_same_data(metadata: dict[str, Any], checksum: str | None, problem: str) -> None:
    """Record the checksum of the data; InputError with the problem if another is recorded."""
    if metadata.setdefault("digest", checksum) != checksum:
        raise InputError(problem)


@contextlib.contextmanager
def naming_the_folder(
    what: str, folder: Callable[[], Path | None], note: Callable[[str], None]
) -> Iterator[None]:
    """Record a divergence, and name the folder of its logs in the message.

    Args:
        what: "run" or "sweep".
        folder: returns the folder, None before there is one.
        note: records the message in the metadata of the folder.
    """
    try:
        yield
    except DivergedError as error:
        if not is_first():
            raise
        path = folder()
        if path is not None:
            note(str(error))
        raise DivergedError(f"{error} The logs of the {what} are in {path}.") from None
