"""The logs of a run: metrics.jsonl, timing.jsonl and TensorBoard events, an epoch at a time."""

import contextlib
from pathlib import Path

from mlp_jax.files import cut_back, jsonl, write_text_atomic
from mlp_jax.training import diagnose
from mlp_jax.training.logs import METRICS_FILE, TIMING_FILE, MetricsLog, TensorBoardLog
from mlp_jax.training.loop import EpochEnd
from mlp_jax.training.snapshot import Position


class RunLogs:
    """Writes an epoch's records; `with RunLogs(folder, position, histograms) as logs`.

    Records of an earlier sitting that are later than `position` are cut away first: the run will
    write them again.
    """

    def __init__(self, folder: Path, position: Position, histograms: bool) -> None:
        self._histograms = histograms
        self._stack = contextlib.ExitStack()
        again = (folder / METRICS_FILE).exists()  # even where nothing was saved to go on from
        if again:
            write_text_atomic(folder / METRICS_FILE, "".join(map(jsonl, position.history)))
            cut_back(folder / TIMING_FILE, "epoch", position.epoch - 1)
        last = int(position.history[-1]["step"]) if position.history else 0
        self._log = self._stack.enter_context(MetricsLog(folder))
        board = TensorBoardLog(folder / "tensorboard", resumed_at=last + 1 if again else None)
        self._board = self._stack.enter_context(board)

    def write(self, end: EpochEnd) -> None:
        """The records of an epoch that has ended."""
        self._log.metrics(end.metrics)
        self._log.timing(
            {
                "epoch": end.epoch,
                "seconds": end.seconds,
                "samples_per_second": end.samples_per_second,
            }
        )
        step = int(end.metrics["step"])
        named = {k: v for k, v in end.metrics.items() if k not in ("epoch", "step")}
        self._board.scalars(step, {k.replace("_", "/", 1): v for k, v in named.items()})
        self._board.scalars(step, {"speed/samples_per_second": end.samples_per_second})
        if end.look is None:
            return
        seen = end.look()
        self._board.scalars(step, diagnose.scalars(end.state, seen))
        if self._histograms:
            self._board.histograms(step, diagnose.histograms(end.state, seen))

    def __enter__(self) -> "RunLogs":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
