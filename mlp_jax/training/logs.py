"""What a run writes down as it goes: lines of JSON, TensorBoard events."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from mlp_jax.files import as_run_folder_error, plain, read_lines

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"


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

        with as_run_folder_error("write", Path(folder)):
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


def _append(file: BinaryIO, record: Mapping[str, object]) -> None:
    line = json.dumps(plain(record), sort_keys=True, ensure_ascii=False)
    with as_run_folder_error("write", Path(file.name)):
        file.write(line.encode() + b"\n")
        file.flush()


def _open_to_append(path: Path) -> BinaryIO:
    lines = read_lines(path)
    with as_run_folder_error("open", path):
        file = path.open("ab")
        whole = sum(len(line) + 1 for line, _ in lines)
        if file.tell() > whole:
            file.truncate(whole)
        elif file.tell() < whole:
            file.write(b"\n")
            file.flush()
        return file
