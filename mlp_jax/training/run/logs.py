"""Log writers: JSON lines and TensorBoard events."""

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
    """Append records to metrics.jsonl, layers.jsonl and timing.jsonl in a folder.

    Equal runs write equal bytes to the first two. layers.jsonl is created with its first record.
    Keys are sorted, floats keep all digits, NaN and ∞ become null, and each line is flushed. An
    incomplete last line of a killed run is removed first.

    Raises:
        RunFolderError: if a file cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._files: dict[str, BinaryIO] = {}
        for name in (METRICS_FILE, TIMING_FILE):
            self._open(name)

    def metrics(self, record: Mapping[str, object]) -> None:
        """Append reproducible values: epoch, step, losses, metrics."""
        _append(self._files[METRICS_FILE], record)

    def timing(self, record: Mapping[str, object]) -> None:
        """Append values that differ between equal runs: seconds, samples per second."""
        _append(self._files[TIMING_FILE], record)

    def layers(self, record: Mapping[str, object]) -> None:
        """Append layer diagnostics."""
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
    """Write TensorBoard events to a folder.

    Events are written without the background thread of tensorboardX, so that a full disk raises an
    error in this thread. tensorboardX is imported when the log is opened.

    Args:
        folder: folder of the events.
        resumed_at: step from which events of an earlier run are hidden.

    Raises:
        RunFolderError: if a file cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resumed_at: int | None = None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder, self._flushed = Path(folder), time.monotonic()
        with as_run_folder_error("write", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Absolute: tensorboardX would take a relative path that begins with "s3:" as a URL.
            self._writer = EventsWriter(str(self._folder.absolute() / "events"), f".{os.getpid()}")
        if resumed_at is not None:
            self._write(resumed_at, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write one point per name as a single event; None, NaN and ∞ leave a gap."""
        from tensorboardX.proto.summary_pb2 import Summary

        points = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]
        if points:
            self._write(step, summary=Summary(value=points))

    def histograms(self, step: int, values: Mapping[str, ArrayLike]) -> None:
        """Write one histogram per name, of an array of any shape, without NaN and ∞."""
        from tensorboardX.summary import histogram

        for name, array in values.items():
            flat = np.asarray(array, np.float64).ravel()
            finite = flat[np.isfinite(flat)]
            if finite.size:
                self._write(step, summary=histogram(name, finite, _HISTOGRAM_EDGES))

    def close(self) -> None:
        """Flush and close the file."""
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
