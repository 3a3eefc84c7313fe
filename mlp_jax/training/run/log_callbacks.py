"""Logs of each epoch: metrics, timing and layers (.jsonl), and TensorBoard events."""

import contextlib
from pathlib import Path

from mlp_jax.backprop import Layer
from mlp_jax.files import cut_back, jsonl, write_text_atomic
from mlp_jax.training.callbacks import EpochEnd
from mlp_jax.training.diagnostics import diagnostics_report as report
from mlp_jax.training.engine.snapshot import Position
from mlp_jax.training.run.logs import (
    LAYERS_FILE,
    METRICS_FILE,
    TIMING_FILE,
    MetricsLog,
    TensorBoardLog,
)


class RunLogs:
    """Write the records of each epoch: `with RunLogs(folder, position, network) as logs`.

    Records after `position`, from before a run was resumed, are removed first; the run writes them
    again.

    Args:
        folder: run folder.
        position: where training starts.
        network: the network, for the names of its layers.
        diagnostics: write the layer diagnostics of the epochs where they are due.
        histograms: write histograms of weights and gradients for TensorBoard every epoch.
    """

    def __init__(
        self,
        folder: Path,
        position: Position,
        network: Layer,
        *,
        diagnostics: bool = True,
        histograms: bool = False,
    ) -> None:
        self._network, self._diagnostics, self._histograms = network, diagnostics, histograms
        self._stack = contextlib.ExitStack()
        resumed = (folder / METRICS_FILE).exists()  # even without a checkpoint
        if resumed:
            write_text_atomic(folder / METRICS_FILE, "".join(map(jsonl, position.history)))
            for name in (TIMING_FILE, LAYERS_FILE):
                cut_back(folder / name, "epoch", position.epoch - 1)
        last = int(position.history[-1]["step"]) if position.history else 0
        self._log = self._stack.enter_context(MetricsLog(folder))
        board = TensorBoardLog(folder / "tensorboard", resumed_at=last + 1 if resumed else None)
        self._board = self._stack.enter_context(board)

    def write(self, end: EpochEnd) -> None:
        """Write the records of a finished epoch."""
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
        layers_due = self._diagnostics and end.diagnostics_due
        if end.diagnose is None or not (layers_due or self._histograms):
            return
        seen = end.diagnose()
        if layers_due:
            found = report.summarize(end.state.params, seen)
            layers = report.layers(self._network, found)
            self._board.scalars(step, report.scalars(layers, found.norms))
            record = {"epoch": end.epoch, "step": step, "examples": found.examples}
            self._log.layers(record | {"layers": layers})
        if self._histograms:
            self._board.histograms(step, report.histograms(end.state, seen))

    def __enter__(self) -> "RunLogs":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
