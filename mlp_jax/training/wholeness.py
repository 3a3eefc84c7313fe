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


def seal(folder: Path) -> None:
    """Writes the checksums of a checkpoint's files: from now on it counts."""
    write_json_atomic(folder / CHECKSUMS, _checksums(folder))


def put_damage_aside(run: Path, tell: Callable[[str], None]) -> None:
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
