"""What a run writes down as it goes: lines of JSON, TensorBoard events."""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from mlp_jax.files import as_run_folder_error, json_bytes, jsonl, read_lines

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"
LAYERS_FILE = "layers.jsonl"
_FLUSH_SECONDS = 5
_POSITIVE_EDGES = 1e-12 * 1.1 ** np.arange(774)  # TensorFlow's: up to 1e20, 10 % apart
_HISTOGRAM_EDGES = np.concatenate([-_POSITIVE_EDGES[::-1], [0], _POSITIVE_EDGES])


class MetricsLog:
    """Appends records to metrics.jsonl, layers.jsonl and, of the clock, timing.jsonl in a folder.

    Two equal runs write equal bytes to the first two; layers.jsonl comes with its first record.
    Keys are sorted, floats keep every digit, NaN and ∞ become null, and each line is flushed. A
    torn last line that a killed run left is removed first. Raises RunFolderError.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._files: dict[str, BinaryIO] = {}
        for name in (METRICS_FILE, TIMING_FILE):
            self._open(name)

    def metrics(self, record: Mapping[str, object]) -> None:
        """Append what a repeated run would say again: epoch, step, losses, metrics."""
        _append(self._files[METRICS_FILE], record)

    def timing(self, record: Mapping[str, object]) -> None:
        """Append what it would not: seconds, samples a second."""
        _append(self._files[TIMING_FILE], record)

    def layers(self, record: Mapping[str, object]) -> None:
        """Append how each layer does."""
        _append(self._files.get(LAYERS_FILE) or self._open(LAYERS_FILE), record)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _open(self, name: str) -> BinaryIO:
        self._files[name] = _open_to_append(self._folder / name)
        return self._files[name]

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class TensorBoardLog:
    """Writes TensorBoard events to a folder; imports tensorboardX when made.

    Events are written here, without the library's thread, so that a full disk is an error of this
    run's and not a traceback of another thread's. `resumed_at` hides the events of an earlier run
    from that step on. Raises RunFolderError.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resumed_at: int | None = None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder, self._flushed = Path(folder), time.monotonic()
        with as_run_folder_error("write", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Absolute, for a relative path that begins with "s3:" would be a place in a cloud.
            self._writer = EventsWriter(str(self._folder.absolute() / "events"), f".{os.getpid()}")
        if resumed_at is not None:
            self._write(resumed_at, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write one point a name, all as one event; None, NaN and ∞ leave a gap."""
        from tensorboardX.proto.summary_pb2 import Summary

        points = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]
        if points:
            self._write(step, summary=Summary(value=points))

    def histograms(self, step: int, values: Mapping[str, ArrayLike]) -> None:
        """Write one histogram a name, of an array of any shape; NaN and ∞ are left out."""
        from tensorboardX.summary import histogram

        for name, array in values.items():
            flat = np.asarray(array, np.float64).ravel()
            finite = flat[np.isfinite(flat)]
            if finite.size:
                self._write(step, summary=histogram(name, finite, _HISTOGRAM_EDGES))

    def close(self) -> None:
        """Write what waits, and close the file."""
        with as_run_folder_error("write", self._folder):
            self._writer.close()

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, step: int, **content: object) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with as_run_folder_error("write", self._folder):
            self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()


def _append(file: BinaryIO, record: Mapping[str, object]) -> None:
    with as_run_folder_error("write", Path(file.name)):
        file.write(json_bytes(jsonl(record)))
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
