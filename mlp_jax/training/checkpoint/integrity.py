"""Whether a checkpoint is whole: the checksums of its files; one that is not is put aside."""

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
CHUNK_BYTES = 1 << 22  # bytes that are looked at together


def write_commit_marker(folder: Path) -> None:
    """Writes the checksums of a checkpoint's files: from now on it counts."""
    write_json_atomic(folder / CHECKSUMS, _checksums(folder))


def quarantine_damaged(run: Path, warn: Callable[[str], None]) -> None:
    """Leaves only checkpoints in the folder that are whole, from the newest down to the first one.

    What a process left behind that ended while it saved is deleted. RunFolderError where damage
    leaves none.
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
            f"The checkpoint of step {folder.name} is damaged ({wrong}); it is put aside in"
            f" {quarantined}, and the one before it is taken."
        )
        quarantined.parent.mkdir(exist_ok=True)
        shutil.rmtree(quarantined, ignore_errors=True)
        folder.replace(quarantined)
    if damaged:
        raise RunFolderError(
            f"No checkpoint in {run} is whole; the damaged ones are in {run / DAMAGED}."
        )


def newest_step(run: Path) -> int | None:
    """The step of the newest checkpoint that counts."""
    return next((int(path.name) for path in _folders(run) if (path / CHECKSUMS).exists()), None)


def keep_newest(run: Path, count: int) -> None:
    """Deletes what is older than the newest `count` checkpoints; a seal goes before its files."""
    for folder in _folders(run):
        if count <= 0:
            (folder / CHECKSUMS).unlink(missing_ok=True)
            shutil.rmtree(folder)
        count -= (folder / CHECKSUMS).exists()


def _folders(run: Path) -> list[Path]:
    """The folders of checkpoints, whole or not, the newest first."""
    folders = [path for path in (run / FOLDER).glob("*") if path.name.isdigit()]
    return sorted(folders, key=lambda path: int(path.name), reverse=True)


def _checksums(folder: Path) -> dict[str, int]:
    """The CRC-32 of every file of a checkpoint but the list of them itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): _checksum(path)
        for path in files
        if path.name != CHECKSUMS
    }


def _checksum(path: Path) -> int:
    """The CRC-32 of a file, which may be larger than the memory."""
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


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
