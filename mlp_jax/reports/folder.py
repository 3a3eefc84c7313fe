"""Read run folders in any state: finished, running, interrupted or failed.

A missing or torn file is treated as if it had never been written, because a crashed run is the most
interesting one. Nothing here loads data or weights.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mlp_jax.errors import RunFolderError, UnknownNameError
from mlp_jax.files import as_path_text, read_jsonl
from mlp_jax.model.metrics import higher_is_better

Status = Literal["finished", "running", "interrupted", "failed"]
MARKS = ("config.toml", "run.json", "metrics.jsonl")
LOCK = ".lock"


class BestEpoch(NamedTuple):
    """Best value of a curve: its name in the history, the value, the epoch, its sense."""

    name: str
    value: float
    epoch: int
    higher: bool

    @property
    def metric(self) -> str:
        """Name of the metric without the part that it was measured on."""
        return self.name.removeprefix("validation_").removeprefix("train_")


@dataclass(frozen=True)
class RunRecord:
    """Contents of a run folder's small files.

    config: config.toml.  metadata: run.json.  proof: check.json, or {}.  history: a record per
    epoch.  timing: likewise, the times.  test: metrics on the test rows.  layers: layers.jsonl,
    the health of each layer after each epoch.
    """

    folder: Path
    status: Status
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    proof: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    timing: tuple[Mapping[str, Any], ...]
    test: Mapping[str, float]
    layers: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def data(self) -> str:
        """Name of the training data, else the configured one."""
        spec = str(self.config.get("data", ""))
        return str(self.metadata.get("data") or spec or "?")

    @property
    def network(self) -> str:
        """Widths and activation, as "64-256-256-10 relu, batch norm", or widths and the preset."""
        hidden = [str(width) for width in _list(self.config.get("hidden"))]
        widths = [str(width) for width in _list(self.metadata.get("widths"))]
        parts = ["-".join(widths or hidden) or "linear"]
        if preset := self.config.get("preset"):
            return f"{parts[0]}, preset {preset}"
        parts[0] += f" {self.config.get('activation', '')}".rstrip()
        if norm := self.config.get("norm"):
            parts.append(f"{norm} norm")
        if dropout := number(self.config.get("dropout")):
            parts.append(f"dropout {dropout:g}")
        if self.config.get("residual"):
            parts.append("residual")
        return ", ".join(parts)

    @property
    def epochs(self) -> tuple[int, int | None]:
        """(finished epochs, requested epochs)."""
        asked = self.config.get("epochs")
        done = max((_whole(record.get("epoch")) or 0 for record in self.history), default=0)
        return done, _whole(asked)

    @property
    def metric(self) -> str | None:
        """Curve that the run monitors, else the first validation metric."""
        names = list(dict.fromkeys(key for record in self.history for key in record))
        said = str(
            self.metadata.get("monitor") or next(iter(_list(self.config.get("metrics"))), "")
        )
        wanted = [said, f"validation_{said}"]
        judged = [name for name in names if name.startswith("validation_")]
        others = [name for name in judged if name != "validation_loss"]
        for name in (*wanted, *others, *judged, "train_loss"):
            if name in names:
                return name
        return None

    @property
    def best(self) -> BestEpoch | None:
        """Best epoch by `metric`; None before the first."""
        name = self.metric
        if name is None:
            return None
        higher = higher_better(name.removeprefix("validation_").removeprefix("train_"))
        points = [
            (value, epoch)
            for index, record in enumerate(self.history, start=1)
            if (value := number(record.get(name))) is not None
            for epoch in [_whole(record.get("epoch")) or index]
        ]
        if not points:
            return None
        value, epoch = (max if higher else min)(points, key=lambda point: point[0])
        return BestEpoch(name, value, epoch, higher)

    @property
    def private(self) -> bool:
        """True for a differentially private run."""
        return self.config.get("private") is True

    @property
    def started(self) -> datetime | None:
        """Start time; without run.json, the time of its configuration."""
        said = moment(self.metadata.get("started"))
        if said is not None:
            return said
        for name in MARKS:
            path = self.folder / name
            if path.is_file():
                return datetime.fromtimestamp(path.stat().st_mtime).astimezone()
        return None

    @property
    def duration(self) -> timedelta | None:
        """Time from start to finish; of an unfinished run, the time of its epochs."""
        started, finished = (
            moment(self.metadata.get("started")),
            moment(self.metadata.get("finished")),
        )
        if started is not None and finished is not None and finished >= started:
            return finished - started
        seconds = [number(record.get("seconds")) for record in self.timing]
        known = [value for value in seconds if value is not None]
        return timedelta(seconds=sum(known)) if known else None

    @property
    def speed(self) -> float | None:
        """Samples per second: the median over epochs except the first, which compiles."""
        rates = [number(record.get("samples_per_second")) for record in self.timing]
        known = sorted(rate for rate in rates[1:] or rates if rate is not None)
        return known[len(known) // 2] if known else None


def read_run(folder: Path) -> RunRecord:
    """Read the run in a folder. RunFolderError for a folder without a run."""
    if not folder.exists():
        raise RunFolderError(f"There is no run {folder}: no such folder.")
    if not is_run(folder):
        what = "a folder" if folder.is_dir() else "a file"
        raise RunFolderError(
            f"{folder} is {what}, but not a run: a run folder has {' and '.join(MARKS[:2])}."
        )
    config, metadata = _toml(folder / "config.toml"), _json(folder / "run.json")
    proof, test = _json(folder / "check.json"), _json(folder / "test.json")
    history = _lines(folder / "metrics.jsonl")
    return RunRecord(
        folder=folder,
        status=_status(folder, metadata, proof, history),
        config=config,
        metadata=metadata,
        proof=proof,
        history=history,
        timing=_lines(folder / "timing.jsonl"),
        test={key: value for key, item in test.items() if (value := number(item)) is not None},
        layers=_lines(folder / "layers.jsonl"),
    )


def find_runs(folder: Path) -> list[RunRecord]:
    """List the runs in a folder, newest first; the folder itself if it is one.

    RunFolderError if there is no such folder.
    """
    if not folder.is_dir():
        raise RunFolderError(f"Cannot list the runs in {folder}: there is no such folder.")
    try:
        inside = [path for path in folder.iterdir() if is_run(path)]
    except OSError as error:
        raise RunFolderError(f"Cannot list the runs in {folder}: {error.strerror}.") from error
    found = [read_run(path) for path in ([folder] if is_run(folder) else inside)]
    return sorted(found, key=lambda run: (-_time(run), run.name))


def is_run(folder: Path) -> bool:
    """Return True if a folder has any of the files that only a run writes."""
    return any((folder / name).is_file() for name in MARKS)


def is_running(folder: Path) -> bool:
    """Return True if a process holds the run's lock."""
    try:
        import fcntl

        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # Windows has no such locks, so none can be held
        return False
    return False


def higher_better(metric: str) -> bool:
    """Return True if larger values of the metric are better; False for an unknown metric."""
    try:
        return higher_is_better(metric)
    except UnknownNameError:
        return False


def number(value: object) -> float | None:
    """Return the value as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def moment(text: object) -> datetime | None:
    """Parse an ISO time with its zone; None if it is not one."""
    try:
        return datetime.fromisoformat(str(text)).astimezone()
    except (ValueError, OverflowError):
        return None


def _status(
    folder: Path,
    metadata: Mapping[str, Any],
    proof: Mapping[str, Any],
    history: tuple[Mapping[str, Any], ...],
) -> Status:
    if is_running(folder):
        return "running"
    broken = bool(history) and number(history[-1].get("train_loss", 0.0)) is None
    if metadata.get("failed") or proof.get("ok") is False or broken:
        return "failed"
    finished = metadata.get("finished") if metadata else (folder / "test.json").is_file()
    return "finished" if finished else "interrupted"


def _time(run: RunRecord) -> float:
    return run.started.timestamp() if run.started else 0.0


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(as_path_text(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return {key.replace("-", "_"): value for key, value in content.items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        return tuple(read_jsonl(path))
    except RunFolderError:
        return ()
