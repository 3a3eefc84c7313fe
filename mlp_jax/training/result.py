"""A trained network in memory: `TrainResult`, and how rows get onto the device."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.data import Scaling, Split
from mlp_jax.data.dataset import check_labels
from mlp_jax.errors import InputError
from mlp_jax.model.judge import encode_targets
from mlp_jax.model.precision import Precision
from mlp_jax.proof import Report
from mlp_jax.training.engine.evaluate import evaluate
from mlp_jax.training.engine.program import Program
from mlp_jax.training.input.place import place
from mlp_jax.training.input.validate import Rows, pair
from mlp_jax.training.plan import TrainPlan


class Outcome(NamedTuple):
    """Final weights of a training, the records of its epochs, and the epoch of the weights."""

    params: Any
    layer_state: Any
    history: tuple[dict[str, float], ...]
    best_epoch: int


@dataclass(frozen=True)
class TrainResult:
    """What `fit` returns.

    params, layer_state: the weights to use (the best epoch's where patience was set, the moving
    average where there was one).  history: a record an epoch.  report: the proof.  best_epoch:
    the epoch whose weights these are.  scaling: what raw rows are brought to the network by,
    target_scaling: what targets were, undone in predictions.  private: what a private training
    tells of its rows, ε above all, as JSON takes it; None of another.
    """

    network: Layer
    loss: Loss
    params: Any
    layer_state: Any
    scaling: Scaling | None
    target_scaling: Scaling | None
    history: tuple[dict[str, float], ...]
    report: Report
    best_epoch: int
    n_inputs: int
    n_outputs: int
    n_classes: int
    program: Program = field(repr=False)
    precision: Precision = field(repr=False)
    device: jax.Device = field(repr=False)
    private: dict[str, Any] | None = None

    def evaluate(
        self, data: Rows, names: Sequence[str] = ()
    ) -> tuple[dict[str, float], np.ndarray]:
        """({"loss": …, metric: …}, predictions (N, C)) of other rows, in inference.

        InputError for rows of another width, and for targets that the loss has no meaning for, such
        as labels that training had no class for.
        """
        data = Split(*pair(data))
        if data.x.ndim != 2 or data.x.shape[1] != self.n_inputs or not len(data.x):
            raise InputError(
                f"The network takes rows x (N, {self.n_inputs}), not of shape {data.x.shape}."
            )
        if len(data.y) != len(data.x):
            raise InputError(f"x has {len(data.x)} rows, but y has {len(data.y)}.")
        if self.n_classes and data.y.ndim == 1:
            check_labels(data.y, self.n_classes, "the rows to judge")
        with self.precision.active(), jax.default_device(self.device):
            y = encode_targets(self.loss, data.y, self.n_outputs)
            check_targets(self.loss, y, self.n_outputs)
            placed = place(
                Split(data.x, y),
                None,
                self.scaling,
                self.program.dtype,
                self.target_scaling,
                self.program.layout,
            )
            return evaluate(
                self.program,
                self.params,
                self.layer_state,
                placed,
                y,
                names,
                self.n_classes,
                self.target_scaling,
            )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions (N, C) of raw rows x (N, I): probabilities for classes, a rate, or values."""
        labels = self.loss.function.targets == "classes" and self.n_classes > 0
        empty = np.zeros(len(x), np.int32) if labels else np.zeros((len(x), self.n_outputs))
        return self.evaluate(Split(np.asarray(x), empty))[1]


def train_result(plan: TrainPlan, outcome: Outcome, report: Report) -> TrainResult:
    """Return the result of a training, with all that is needed to use the network."""
    return TrainResult(
        network=plan.program.network,
        loss=plan.program.loss,
        params=outcome.params,
        layer_state=outcome.layer_state,
        scaling=plan.scaling,
        target_scaling=plan.options.target_scaling,
        history=outcome.history,
        report=report,
        best_epoch=outcome.best_epoch,
        n_inputs=plan.n_in,
        n_outputs=plan.n_out,
        n_classes=plan.n_classes,
        program=plan.program,
        precision=plan.precision,
        device=plan.device,
        private=None if plan.account is None else plan.account.facts(),
    )
