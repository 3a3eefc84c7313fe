"""Interpretation of a loss's targets, and the metrics that apply; on the host, NumPy only.

Letters: N rows, C classes or outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlp_jax.backprop import Loss
from mlp_jax.backprop.losses import check_labels
from mlp_jax.model import metrics
from mlp_jax.model.metrics import Task


class Evaluation(dict[str, float]):
    """Figures of an evaluation by name, with the predictions that they are of.

    `[0]` and `[1]` give the figures and the predictions, as `fit(…).evaluate` returned them in
    earlier versions.

    Attributes:
        predictions: (N, C), as `Model.predictions` returns them.
    """

    def __init__(self, figures: Mapping[str, float], predictions: np.ndarray) -> None:
        super().__init__(figures)
        self.predictions = predictions

    def __missing__(self, key: Any) -> Any:
        """Return the part of that number."""
        if key == 0:
            return dict(self)
        if key == 1:
            return self.predictions
        raise KeyError(key)


def class_count(loss: Loss, y: np.ndarray, n_outputs: int) -> int:
    """Return the number of classes, 0 for regression and multi-label.

    Integers (N,) are labels, except for a loss of real targets with a single output. Columns (N, C)
    are class probabilities for softmax_cross_entropy, and independent outputs for other losses.
    """
    kind = loss.function.targets
    if y.ndim == 2:
        return n_outputs if loss.name == "softmax_cross_entropy" else 0
    if kind == "classes":
        return max(n_outputs, 2)
    if not np.issubdtype(y.dtype, np.integer) or (kind == "real" and n_outputs == 1):
        return 0
    return max(n_outputs, 2)


def encode_targets(loss: Loss, y: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return labels (N,) one-hot if the loss takes columns; other targets unchanged.

    Raises InputError for a label without a column.
    """
    if y.ndim == 2 or loss.function.targets == "classes" or not np.issubdtype(y.dtype, np.integer):
        return y
    if n_outputs > 1:
        check_labels(f"The loss {loss}", y, n_outputs)
    if n_outputs == 1:
        return y.astype(np.float32)[:, None]
    return np.eye(n_outputs, dtype=np.float32)[y]


def task_of(loss: Loss, y: np.ndarray, n_classes: int) -> Task:
    """Return the task, which selects the metrics."""
    if n_classes:
        return "classification"
    return "regression" if loss.function.targets == "real" else "multilabel"


def scores(
    loss: Loss, predictions: np.ndarray, y: np.ndarray, names: Sequence[str], n_classes: int
) -> dict[str, float]:
    """Return the named metrics of predictions (N, C); one-hot targets are read as labels."""
    if not names:
        return {}
    task = task_of(loss, y, n_classes)
    if task == "classification":
        return metrics.classification_metrics(predictions, labels_of(y), names, n_classes)
    if task == "multilabel":
        return metrics.multilabel_metrics(predictions, y, names)
    return metrics.regression_metrics(predictions, y.reshape(predictions.shape), names)


def labels_of(y: np.ndarray) -> np.ndarray:
    """Return labels (N,) from labels, one-hot columns, or one column of 0 and 1."""
    if y.ndim == 1:
        return y.astype(np.int64)
    if y.shape[1] == 1:
        return (y[:, 0] > 0.5).astype(np.int64)
    return np.argmax(y, axis=1)
