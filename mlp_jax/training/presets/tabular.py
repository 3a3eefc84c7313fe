"""`preset="tabular"`."""

import numpy as np
from jaxtyping import Shaped

from mlp_jax.backprop import Loss, Sequential, get_loss, mlp
from mlp_jax.data.encoding import InputEncoding
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.model.metrics import Task
from mlp_jax.training.input_layers import input_layers
from mlp_jax.training.optimizers import Optimizer
from mlp_jax.training.presets.preset import Preset

LOSSES: dict[Task, str] = {
    "classification": "softmax_cross_entropy",
    "multilabel": "sigmoid_cross_entropy",
    "regression": "squared_error",
}


def tabular_columns() -> ColumnOptions:
    """Numbers by median and interquartile range, smoothly clipped (Holzmüller 2024, RealMLP)."""
    return ColumnOptions(scaling="robust")


def _loss(task: Task) -> Loss:
    return get_loss(LOSSES[task])


def tabular(
    inputs: InputEncoding | None,
    n_in: int,
    n_out: int,
    task: Task,
    x: Shaped[np.ndarray, "N I"],
) -> Preset:
    """The recipe for the rows of a table."""
    network = mlp((256, 256), n_out, dropout=0.1)
    return Preset(
        Sequential((*input_layers(inputs), *network.layers)),
        _loss(task),
        Optimizer("adam", 1e-3),
        {"epochs": 20, "batch_size": min(256, len(x))},
    )
