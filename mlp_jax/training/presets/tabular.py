"""`preset="tabular"`: TabM on learned embeddings of bins; `docs/presets.md` says what each brings.

Gorishniy 2024, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling": k
members share one MLP and differ by rank-one factors (Wen 2020, BatchEnsemble); the mean of their
losses is minimized, and the mean of their probabilities is predicted. Numbers go in as
piecewise-linear encodings with target-aware bins (Gorishniy 2022), each through a small dense layer
of its own; categories one-hot or embedded (Guo & Berkhahn 2016), scaling after Holzmüller 2024.
"""

import numpy as np
from jaxtyping import Shaped

from mlp_jax.backprop import Sequential, get_loss
from mlp_jax.backprop.tables import tabm
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TableEncoding
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.model.metrics import Task
from mlp_jax.training.input_layers import input_layers
from mlp_jax.training.optimizers import Optimizer
from mlp_jax.training.presets.bins import Edges, tree_edges
from mlp_jax.training.presets.preset import Preset

LOSSES: dict[Task, str] = {
    "classification": "softmax_cross_entropy",
    "multilabel": "sigmoid_cross_entropy",
    "regression": "squared_error",
}
BINS, ROWS_A_BIN, EMBEDDING = 128, 5, 16
MEMBERS, HIDDEN, DROPOUT = 8, (128, 128), 0.3
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 3e-4
EPOCHS, BATCH_SIZE = 24, 512


def tabular_columns() -> ColumnOptions:
    """Numbers by median and interquartile range, smoothly clipped (Holzmüller 2024, RealMLP)."""
    return ColumnOptions(scaling="robust")


def tabular(
    inputs: InputEncoding | None,
    n_out: int,
    task: Task,
    x: Shaped[np.ndarray, "N I"],
    y: Shaped[np.ndarray, "N ..."],
) -> Preset:
    """The recipe for training rows x (N, I) of a table with targets y, as `fit` takes them."""
    loss = get_loss(LOSSES[task])
    numbers = _numbers(inputs, x)
    edges: Edges = ()
    if numbers.shape[1]:
        edges = tree_edges(numbers, y, task, bins=BINS, rows_a_bin=ROWS_A_BIN)
    network = tabm(
        edges,
        HIDDEN,
        n_out,
        link=loss.function.predict,
        dropout=DROPOUT,
        members=MEMBERS,
        width=EMBEDDING,
        embedding="relu",
    )
    return Preset(
        Sequential((*input_layers(inputs), *network.layers)),
        loss,
        Optimizer("adamw", LEARNING_RATE, "cosine", weight_decay=WEIGHT_DECAY),
        {"epochs": EPOCHS, "batch_size": min(BATCH_SIZE, len(x)), "select": "best"},
    )


def _numbers(inputs: InputEncoding | None, x: np.ndarray) -> np.ndarray:
    """The columns of x that are numbers, as the network sees them (N, G)."""
    if isinstance(inputs, TableEncoding):
        return x[:, : inputs.n_numeric]
    if isinstance(inputs, ArrayEncoding) and inputs.scale:
        scaled = x * np.asarray(inputs.scale) + np.asarray(inputs.offset)
        return scaled.astype(np.float32)
    return x
