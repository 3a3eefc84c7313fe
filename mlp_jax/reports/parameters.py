"""Number of parameters of a run's model, without loading them."""

import json
import math
import struct
from pathlib import Path
from typing import Any

from mlp_jax.reports.folder import RunRecord

_LONGEST_HEADER = 1 << 24


def parameter_count(run: RunRecord) -> int | None:
    """Return P from run.json, else from the header of the saved weights; None without either."""
    said = run.metadata.get("parameters")
    if isinstance(said, int):
        return said
    shapes = [
        entry.get("shape", [])
        for name, entry in _header(run.folder / "model" / "model.safetensors").items()
        if not name.startswith(("state.", "__"))
    ]
    return sum(math.prod(shape) for shape in shapes) if shapes else None


def _header(path: Path) -> dict[str, Any]:
    """Parse the JSON at the start of a safetensors file: its length in 8 bytes, then the text."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            found = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
    except (OSError, ValueError, struct.error):
        return {}
    return found if isinstance(found, dict) else {}
