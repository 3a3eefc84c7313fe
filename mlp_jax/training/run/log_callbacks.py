"""The logs of a run, an epoch at a time: metrics, timing, layers (.jsonl), TensorBoard events."""

import contextlib
from pathlib import Path

from mlp_jax.backprop import Layer
from mlp_jax.files import cut_back, jsonl, write_text_atomic
from mlp_jax.training.callbacks import EpochEnd
from mlp_jax.training.diagnostics import report as diagnose
from mlp_jax.training.engine.snapshot import Position
from mlp_jax.training.run.logs import (
    LAYERS_FILE,
    METRICS_FILE,
    TIMING_FILE,
    MetricsLog,
    TensorBoardLog,
)


class RunLogs:
    """Writes an epoch's records; `with RunLogs(folder, position, network) as logs`.

    diagnostics: the layers too, where a look is due.  histograms: of weights and gradients, for
    TensorBoard, every epoch.

    Records of an earlier sitting that are later than `position` are cut away first: the run will
    write them again.
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
        again = (folder / METRICS_FILE).exists()  # even where nothing was saved to go on from
        if again:
            write_text_atomic(folder / METRICS_FILE, "".join(map(jsonl, position.history)))
            for name in (TIMING_FILE, LAYERS_FILE):
                cut_back(folder / name, "epoch", position.epoch - 1)
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
        layers_due = self._diagnostics and end.look_due
        if end.look is None or not (layers_due or self._histograms):
            return
        seen = end.look()
        if layers_due:
            found = diagnose.diagnosed(end.state.params, seen)
            layers = diagnose.layers(self._network, found)
            self._board.scalars(step, diagnose.scalars(layers, found.norms))
            record = {"epoch": end.epoch, "step": step, "examples": found.examples}
            self._log.layers(record | {"layers": layers})
        if self._histograms:
            self._board.histograms(step, diagnose.histograms(end.state, seen))

    def __enter__(self) -> "RunLogs":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
