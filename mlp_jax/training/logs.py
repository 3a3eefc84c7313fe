"""What a run writes down: whole files at once, lines of JSON as it goes, TensorBoard events."""

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from mlp_jax.errors import RunFolderError

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is either whole or as it was before. Raises RunFolderError."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with _as_run_folder_error("write", path):
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text as `write_bytes_atomic` does."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: str | os.PathLike[str], value: object) -> None:
    """Write indented JSON as `write_bytes_atomic` does; arrays become lists, NaN and ∞ null."""
    write_text_atomic(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; [] if there is none; a torn last line is left out.

    Raises RunFolderError for a line before the last that is not JSON.
    """
    return [record for _, record in _read_lines(Path(path))]


def cut_back(path: str | os.PathLike[str], key: str, last: float) -> None:
    """Keep the lines up to the first whose record has record[key] > last, byte for byte.

    A resumed run does this with the checkpoint's epoch or step. Raises RunFolderError.
    """
    path = Path(path)
    kept = []
    for line, record in _read_lines(path):
        if record.get(key, last) > last:
            break
        kept.append(line + b"\n")
    if path.exists():
        write_bytes_atomic(path, b"".join(kept))


class MetricsLog:
    """Appends records to metrics.jsonl and, for what a clock says, timing.jsonl in a folder.

    Two equal runs write equal bytes to metrics.jsonl. Keys are sorted, floats keep every digit,
    NaN and ∞ become null, and each line is flushed. A torn last line that a killed run left is
    removed first. Raises RunFolderError.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._metrics = _open_to_append(Path(folder) / METRICS_FILE)
        self._timing = _open_to_append(Path(folder) / TIMING_FILE)

    def metrics(self, record: Mapping[str, object]) -> None:
        """Append what a repeated run would say again: epoch, step, losses, metrics."""
        _append(self._metrics, record)

    def timing(self, record: Mapping[str, object]) -> None:
        """Append what it would not: seconds, samples a second."""
        _append(self._timing, record)

    def close(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._timing.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class TensorBoardLog:
    """Writes TensorBoard events to a folder; imports tensorboardX when made.

    `resumed_at` hides the events of an earlier run from that step on. Raises RunFolderError.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resumed_at: int | None = None) -> None:
        from tensorboardX import SummaryWriter

        with _as_run_folder_error("write", Path(folder)):
            self._writer = SummaryWriter(str(folder), purge_step=resumed_at)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write one point a name; None, NaN and ∞ leave a gap."""
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self._writer.add_scalar(name, float(value), step)

    def histograms(self, step: int, values: Mapping[str, ArrayLike]) -> None:
        """Write one histogram a name, of an array of any shape; NaN and ∞ are left out."""
        for name, array in values.items():
            flat = np.asarray(array, np.float64).ravel()
            finite = flat[np.isfinite(flat)]
            if finite.size:
                self._writer.add_histogram(name, finite, step)

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._writer.close()

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextmanager
def _as_run_folder_error(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(f"Could not {verb} {path}: {reason}.") from error


def _plain(value: Any) -> Any:
    """What json can write: NumPy and JAX values as Python's, NaN and ∞ as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _append(file: BinaryIO, record: Mapping[str, object]) -> None:
    line = json.dumps(_plain(record), sort_keys=True, ensure_ascii=False)
    with _as_run_folder_error("write", Path(file.name)):
        file.write(line.encode() + b"\n")
        file.flush()


def _open_to_append(path: Path) -> BinaryIO:
    lines = _read_lines(path)
    with _as_run_folder_error("open", path):
        file = path.open("ab")
        whole = sum(len(line) + 1 for line, _ in lines)
        if file.tell() > whole:
            file.truncate(whole)
        elif file.tell() < whole:
            file.write(b"\n")
            file.flush()
        return file


def _read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Every whole line and its record. The last counts when it is JSON, with its \\n or without."""
    if not path.exists():
        return []
    with _as_run_folder_error("read", path):
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append((line, record))
        elif number < len(lines):
            raise RunFolderError(f"Line {number} of {path} is not a JSON object.")
    return records
