"""What a network is judged by: outputs on the device, metrics on the host."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mlp_jax.data import Scaling, unscaled
from mlp_jax.model.judge import scores, task_of
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.program import Program


def evaluate(
    program: Program,
    params: Any,
    layer_state: Any,
    data: DeviceData,
    y: np.ndarray,
    names: Sequence[str],
    n_classes: int,
    target_scaling: Scaling | None = None,
) -> tuple[dict[str, float], np.ndarray]:
    """({"loss": …, metric: …}, predictions (N, C)) of a data set in inference.

    target_scaling: what the targets of `data` were brought to the network by; the predictions and
    metrics are in the units of y, the loss in the network's.
    """
    multilabel = task_of(program.loss, y, n_classes) == "multilabel"
    found = predictions_and_losses(program, multilabel, params, layer_state, data)
    predictions, losses = jax.device_get(found)
    return judged(program, predictions, losses, y, names, n_classes, target_scaling)


@np.errstate(over="ignore", invalid="ignore")  # what overflows is inf, which says it already
def judged(
    program: Program,
    predictions: np.ndarray,
    losses: Any,
    y: np.ndarray,
    names: Sequence[str],
    n_classes: int,
    target_scaling: Scaling | None,
) -> tuple[dict[str, float], np.ndarray]:
    """`evaluate` of what the loss predicts (N, C) and losses (N,) that are there already."""
    if target_scaling is not None:
        predictions = unscaled(target_scaling, predictions)
    found = {"loss": float(np.mean(np.asarray(losses, np.float64)))}
    return found | scores(program.loss, predictions, y, names, n_classes), predictions
