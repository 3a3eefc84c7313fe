"""Run folder: creation, lock against concurrent writers, metadata."""

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
METADATA_FILE = "run.json"
TEST_FILE = "test.json"
LOCK_FILE = ".lock"


def check_folder(out: str | None) -> None:
    """Raise RunFolderError if the requested folder is not empty."""
    folder = Path(out) if out is not None else None
    if folder is None or not folder.exists():
        return
    if folder.is_dir() and all(path.name == LOCK_FILE for path in folder.iterdir()):
        return
    marks = (CONFIG_FILE, METADATA_FILE)
    content = "a run" if any((folder / name).exists() for name in marks) else "something else"
    raise RunFolderError(
        f"{folder} already holds {content}; "
        "give another --out, or leave it out for a new folder under runs/."
    )


def new_folder(out: str | None, data: str) -> Path:
    """Create and return the run folder: `out`, or by default a new one under runs/.

    Raises:
        RunFolderError: if it is not empty or cannot be created.
    """
    check_folder(out)
    folder = Path("runs") if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if out is None:
            folder = _numbered_folder(folder, Path(data.partition(":")[2] or data).stem or "data")
    except OSError as error:
        raise RunFolderError(f"Cannot create the run folder {folder}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise RunFolderError(f"Cannot write to the run folder {folder}: permission denied.")
    return folder


def _numbered_folder(parent: Path, name: str) -> Path:
    """Create and return a new folder; runs that start in the same second get different numbers."""
    stamped = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    for number in itertools.count(1):
        folder = parent / (stamped if number == 1 else f"{stamped}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("unreachable: the count has no end")


@contextlib.contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Lock the folder for this process while the block runs.

    The lock ends with the process. Systems without `flock` have no lock.

    Raises:
        RunFolderError: if another process holds the lock.
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
            raise RunFolderError(f"Another process is writing to {folder}.") from None
        yield


def now() -> str:
    """Return the time as ISO 8601 with time zone, to the second."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write run.json."""
    write_json_atomic(folder / METADATA_FILE, metadata)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a run; raise RunFolderError if the folder has none."""
    path = folder / METADATA_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(f"{folder} holds no usable run: it has no {METADATA_FILE}.") from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Cannot read {path}: {error}.") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} is not the metadata of a run.")
    return found
