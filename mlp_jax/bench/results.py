"""Result file of a measurement: command, machine, repeats, and figures."""

from pathlib import Path
from typing import Any

from mlp_jax.bench.machine import describe
from mlp_jax.bench.measuring import SAMPLE
from mlp_jax.errors import RunFolderError
from mlp_jax.files import write_json_atomic


def result(command: str, device: Any, repeats: int, **found: Any) -> dict[str, Any]:
    """Return the record of a measurement: command, machine and repeats, then `found`."""
    return {
        "command": command,
        "machine": describe(device),
        "repeats": repeats,
        "seconds_a_sample_at_least": SAMPLE,
        "spread": "median and quartiles; a ratio is taken pair by pair",
        **found,
    }


def check_places(json: Path | None, plots: Path | None) -> None:
    """Raise RunFolderError, before anything is measured, if the results could not be written."""
    for path in [] if json is None else [json]:
        if not path.parent.is_dir():
            raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    if plots is not None and not plots.is_dir():
        raise RunFolderError(f"Cannot draw into {plots}: there is no such folder.")


def write_result(path: Path, record: dict[str, Any]) -> None:
    """Write the record as JSON, whole or not at all. Raises RunFolderError."""
    write_json_atomic(path, record)
