"""Evaluation: outputs on the device, metrics on the host."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop.specification import Params, State
from mlp_jax.data import Scaling, unscaled
from mlp_jax.model.judge import scores, task_of
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.program import Program


def evaluate(
    program: Program,
    params: Params,
    layer_state: State,
    data: DeviceData,
    y: np.ndarray,
    names: Sequence[str],
    n_classes: int,
    target_scaling: Scaling | None = None,
) -> tuple[dict[str, float], np.ndarray]:
    """Return ({"loss": …, metric: …}, predictions (N, C)) of a data set in inference.

    target_scaling: scaling of the targets of `data`. Predictions and metrics are in the units of y,
    the loss is that of scaled targets.
    """
    multilabel = task_of(program.loss, y, n_classes) == "multilabel"
    found = predictions_and_losses(program, multilabel, params, layer_state, data)
    predictions, losses = jax.device_get(found)
    return judged(program, predictions, losses, y, names, n_classes, target_scaling)


@np.errstate(over="ignore", invalid="ignore")  # an overflow shows as inf in the result
def judged(
    program: Program,
    predictions: np.ndarray,
    losses: Any,
    y: np.ndarray,
    names: Sequence[str],
    n_classes: int,
    target_scaling: Scaling | None,
) -> tuple[dict[str, float], np.ndarray]:
    """Return the result of `evaluate` from predictions (N, C) and losses (N,)."""
    if target_scaling is not None:
        predictions = unscaled(target_scaling, predictions)
    found = {"loss": float(np.mean(np.asarray(losses, np.float64)))}
    return found | scores(program.loss, predictions, y, names, n_classes), predictions
