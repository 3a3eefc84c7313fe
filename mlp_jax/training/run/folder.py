"""The folder of a run: made once, held by one process at a time, the facts of the run in it."""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlp_jax.errors import RunFolderError
from mlp_jax.files import write_json_atomic
from mlp_jax.training.run.config import CONFIG_FILE

CHECK_FILE = "check.json"
FACTS_FILE = "run.json"
TEST_FILE = "test.json"
LOCK_FILE = ".lock"


def check_folder(out: str | None) -> None:
    """RunFolderError where the folder asked for holds anything already."""
    folder = Path(out) if out is not None else None
    if folder is None or not folder.exists():
        return
    if folder.is_dir() and all(path.name == LOCK_FILE for path in folder.iterdir()):
        return
    marks = (CONFIG_FILE, FACTS_FILE)
    content = "a run" if any((folder / name).exists() for name in marks) else "something else"
    raise RunFolderError(
        f"{folder} already holds {content}; "
        "give another --out, or none for a new folder under runs/."
    )


def new_folder(out: str | None, data: str) -> Path:
    """The run's folder, made; a new one under runs/ each time unless `out` says which.

    RunFolderError where it holds anything already or cannot be made.
    """
    check_folder(out)
    folder = Path("runs") if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if out is None:
            folder = _numbered_folder(folder, Path(data.partition(":")[2] or data).stem or "data")
    except OSError as error:
        raise RunFolderError(f"Cannot make the run's folder {folder}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise RunFolderError(f"Cannot write to the run's folder {folder}: permission denied.")
    return folder


def _numbered_folder(parent: Path, name: str) -> Path:
    """A folder that was not there, made; runs that start in the same second get different ones."""
    stamped = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    for number in itertools.count(1):
        folder = parent / (stamped if number == 1 else f"{stamped}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("unreachable: the count has no end")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the folder for this process as long as the block runs, or until the process is gone.

    RunFolderError where another process holds it. Where the system has no `flock`, nothing is held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        file = (folder / LOCK_FILE).open("a")
    except OSError as error:
        raise RunFolderError(f"Cannot write to {folder}: {error.strerror}.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(f"Another run is writing to {folder} now.") from None
        yield


def now() -> str:
    """The time as ISO 8601 with its zone, to the second."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Writes run.json."""
    write_json_atomic(folder / FACTS_FILE, facts)


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a run; RunFolderError where the folder holds none."""
    path = folder / FACTS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(
            f"{folder} holds no run that can be used: it has no {FACTS_FILE}."
        ) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Cannot read {path}: {error}.") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} is not what a run writes.")
    return found
