"""The trained network that `fit` returns: a `Model` with the records of its training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.backprop.losses import check_targets
from mlp_jax.backprop.specification import Params, State
from mlp_jax.data import Scaling, Split
from mlp_jax.data.arrays import label_type_of
from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.judge import Evaluation, task_of
from mlp_jax.model.metrics import TEST_METRICS, check_metrics
from mlp_jax.model.saved import Model
from mlp_jax.proof import Report
from mlp_jax.training.plan import TrainPlan


class Outcome(NamedTuple):
    """Final weights of a training, the records of its epochs, and the epoch of the weights."""

    params: Params
    layer_state: State
    history: tuple[dict[str, float], ...]
    best_epoch: int


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult(Model):
    """A trained network, as `fit` returns it: a `Model` that also knows its training.

    `predict` returns labels in the type of the training targets, `predict_proba` probabilities;
    `evaluate`, `save` and `export` are those of `Model`. It pickles.

    Attributes:
        history: the record of each epoch.
        report: the gradient check.
        best_epoch: the epoch whose weights these are. They are those of the best epoch if there
            were validation rows, and the moving average if there was one.
        private: of a private training, what it spent, as JSON takes it.
    """

    history: tuple[dict[str, float], ...] = field(default=(), repr=False)
    report: Report = field(default_factory=lambda: Report(()), repr=False)
    best_epoch: int = 0
    private: dict[str, Any] | None = None

    def evaluate(self, rows: Any, names: Sequence[str] = ()) -> Evaluation:
        """Return the loss and the metrics of rows with targets.

        Args:
            rows: as for `Model.evaluate`; targets may also be probabilities, shape (N, C).
            names: metrics; by default those of the task.

        Returns:
            {"loss": …, metric: …}.

        Raises:
            InputError: for rows of another width, or targets that the loss does not take.
        """
        if isinstance(rows, (tuple, Split)) and self.target.task == "classification":
            x, y = (rows.x, rows.y) if isinstance(rows, Split) else rows
            y = np.asarray(y)
            if y.ndim == 2:
                return self._evaluate_probabilities(x, y, names)
        return super().evaluate(rows, names)

    def _evaluate_probabilities(self, x: Any, y: np.ndarray, names: Sequence[str]) -> Evaluation:
        """Return the figures of rows whose targets are probabilities of the classes."""
        names = names or TEST_METRICS["classification"]
        check_metrics("classification", names)
        encoded = self.features(x)
        if len(encoded) != len(y):
            raise InputError(f"x has {len(encoded)} rows, but y has {len(y)}.")
        check_targets(self.loss, y, self.n_outputs)
        return self._evaluation(self._outputs(encoded), y, y, names)


def train_result(plan: TrainPlan, outcome: Outcome, report: Report) -> TrainResult:
    """Return the result of a training, with all that is needed to use the network."""
    layout = plan.program.layout
    private = None if plan.account is None else plan.account.metadata()
    about = {
        "epoch": outcome.best_epoch,
        "private": private,
        "batch_size": plan.program.batch_size,
        "device": plan.device.device_kind,
        "mesh": None if layout is None else {"data": layout.data, "model": layout.model},
    }
    return TrainResult(
        network=plan.program.network,
        loss=plan.program.loss,
        params=outcome.params,
        layer_state=outcome.layer_state,
        inputs=_inputs(plan),
        target=_target(plan),
        precision=plan.precision.name,
        about=about,
        history=outcome.history,
        report=report,
        best_epoch=outcome.best_epoch,
        private=private,
    )


def _inputs(plan: TrainPlan) -> ArrayEncoding:
    """Return how rows become inputs."""
    pixels = plan.rows.x.dtype == np.uint8
    return ArrayEncoding(plan.n_in, *_numbers(plan.scaling), pixels)


def _target(plan: TrainPlan) -> TargetEncoding:
    """Return what the network predicts."""
    task = task_of(plan.program.loss, plan.rows.y, plan.n_classes)
    if task == "classification":
        classes = tuple(map(str, range(plan.n_classes)))
        if plan.label_dtype.kind == "b":
            classes = ("False", "True")
        return TargetEncoding(
            task=task, names=(), classes=classes, label_type=label_type_of(plan.label_dtype)
        )
    if task == "multilabel":
        return TargetEncoding(task)
    scaling = plan.options.target_scaling
    if scaling is None:
        return TargetEncoding(task)
    scale = 1 / np.asarray(scaling.scale, np.float64)
    return TargetEncoding(
        task, (), (), *_numbers(Scaling(scale, -np.asarray(scaling.offset) * scale))
    )


def _numbers(scaling: Scaling | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and offset as an encoding holds them."""
    if scaling is None:
        return (), ()
    scale, offset = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in scaling))
    return tuple(np.ravel(scale).tolist()), tuple(np.ravel(offset).tolist())
