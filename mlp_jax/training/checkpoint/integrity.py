"""Verify checkpoint checksums; quarantine damaged checkpoints."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from mlp_jax.errors import RunFolderError
from mlp_jax.files import write_json_atomic

FOLDER = "checkpoints"
DAMAGED = "damaged"
CHECKSUMS = "checksums.json"
CHUNK_BYTES = 1 << 22  # read at once


def write_commit_marker(folder: Path) -> None:
    """Write the checksums of a checkpoint's files, which commit it."""
    write_json_atomic(folder / CHECKSUMS, _checksums(folder))


def quarantine_damaged(run: Path, warn: Callable[[str], None]) -> None:
    """Move damaged checkpoints away until the newest intact one; delete uncommitted ones.

    Args:
        run: run folder.
        warn: receives a sentence for each damaged checkpoint.

    Raises:
        RunFolderError: if every checkpoint is damaged.
    """
    for unfinished in (run / FOLDER).glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(unfinished)
    damaged = False
    for folder in _folders(run):
        if not (folder / CHECKSUMS).exists():
            shutil.rmtree(folder)
            continue
        wrong = _first_wrong_file(folder)
        if wrong is None:
            return
        damaged = True
        quarantined = run / DAMAGED / folder.name
        warn(
            f"The checkpoint of step {folder.name} is damaged ({wrong}). It was moved to"
            f" {quarantined}; the previous one is used."
        )
        quarantined.parent.mkdir(exist_ok=True)
        shutil.rmtree(quarantined, ignore_errors=True)
        folder.replace(quarantined)
    if damaged:
        raise RunFolderError(
            f"All checkpoints in {run} are damaged; they were moved to {run / DAMAGED}."
        )


def newest_step(run: Path) -> int | None:
    """Return the step of the newest committed checkpoint; None without one."""
    return next((int(path.name) for path in _folders(run) if (path / CHECKSUMS).exists()), None)


def keep_newest(run: Path, count: int) -> None:
    """Delete all but the newest `count` checkpoints; the commit marker of each is deleted first."""
    for folder in _folders(run):
        if count <= 0:
            (folder / CHECKSUMS).unlink(missing_ok=True)
            shutil.rmtree(folder)
        count -= (folder / CHECKSUMS).exists()


def _folders(run: Path) -> list[Path]:
    """Return the folders of all checkpoints, committed or not, newest first."""
    folders = [path for path in (run / FOLDER).glob("*") if path.name.isdigit()]
    return sorted(folders, key=lambda path: int(path.name), reverse=True)


def _checksums(folder: Path) -> dict[str, int]:
    """Return the CRC-32 of every file of a checkpoint except the checksums themselves."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): _checksum(path)
        for path in files
        if path.name != CHECKSUMS
    }


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file, read in chunks."""
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


def _first_wrong_file(folder: Path) -> str | None:
    """Return a description of the first missing or changed file; None if all are intact."""
    try:
        saved = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        found = _checksums(folder)
    except (OSError, ValueError) as error:
        return f"{CHECKSUMS}: {' '.join(str(error).split())}"
    for name in sorted(saved.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if saved.get(name) != found[name]:
            return f"{name} has changed"
    return None
