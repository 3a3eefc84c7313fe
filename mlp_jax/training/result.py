"""A trained network in memory: `Fitted`, and how rows get onto the device."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.data import Scaling, Split, apply
from mlp_jax.data.dataset import check_labels
from mlp_jax.data.scaling import narrowed, standardized
from mlp_jax.errors import InputError
from mlp_jax.model.judge import encode_targets
from mlp_jax.model.precision import Precision
from mlp_jax.proof import Report
from mlp_jax.training.engine.batches import DeviceData, on_device
from mlp_jax.training.engine.evaluate import evaluate
from mlp_jax.training.engine.program import Program
from mlp_jax.training.input.validate import Rows, pair
from mlp_jax.training.mesh.layout import Layout


def readied(
    data: Split, scaling: Scaling | None, dtype: Any, target_scaling: Scaling | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(x, y, scale, offset) as they lie on the device.

    Images stay uint8 with their scale beside them, the rest is scaled here, in float64 before it is
    rounded to dtype.
    """
    dtype = np.dtype(dtype)
    y = data.y
    if target_scaling is not None:
        y = standardized(target_scaling, data.y.reshape(len(data.y), -1), dtype)
    elif np.issubdtype(data.y.dtype, np.floating):
        y = narrowed(data.y, dtype, data.y, "A target of")
    if data.x.dtype == np.uint8 and scaling is not None:
        scale, offset = (np.atleast_2d(v).astype(dtype) for v in scaling)
        return data.x, y, scale, offset
    if scaling is None:
        x = narrowed(data.x, dtype, data.x, "The value")
    else:
        x = apply(scaling, data.x, dtype)
    return x, y, None, None


def place(
    data: Split,
    weights: np.ndarray | None,
    scaling: Scaling | None,
    dtype: Any,
    target_scaling: Scaling | None = None,
    layout: Layout | None = None,
) -> DeviceData:
    """Rows on the device, as `readied` makes them.

    weights (N,): how much each row counts. layout: spreads the rows over the devices of a mesh.
    """
    x, y, scale, offset = readied(data, scaling, dtype, target_scaling)
    share = None if weights is None else np.asarray(weights, np.dtype(dtype))
    return on_device(layout, x, y, share, scale, offset)


@dataclass(frozen=True)
class Fitted:
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
