"""`preset="tabular"`: TabM on periodic embeddings; `docs/presets.md` says what each part brings.

Gorishniy 2024, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling": k
members share one MLP and differ by rank-one factors (Wen 2020, BatchEnsemble); the mean of their
losses is minimized, and the mean of their probabilities is predicted. Each number goes in as waves
of many frequencies through a small dense layer of its own (Gorishniy 2022, PLR), categories one-hot
or embedded (Guo & Berkhahn 2016). The waves are short, σ = 15: amounts that many rows have to the
last digit, such as a capital gain, can then be told from their neighbours.
"""

from mlp_jax.backprop import Beside, BlockDense, Layer, Periodic, Sequential, get_loss
from mlp_jax.backprop.tables import tabm
from mlp_jax.data.encoding import InputEncoding, TableEncoding
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
FREQUENCIES, SIGMA, EMBEDDING = 48, 15.0, 16
MEMBERS, HIDDEN, DROPOUT = 8, (256, 256), 0.3
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 500, 8, 60
SMALLEST_BATCH, LARGEST_BATCH, BATCHES = 32, 512, 50


def tabular_columns() -> ColumnOptions:
    """Numbers by their quantiles, as normal scores: whatever spread they have, waves fit it."""
    return ColumnOptions(scaling="quantile")


def tabular(inputs: InputEncoding | None, n_in: int, n_out: int, task: Task, n_rows: int) -> Preset:
    """The recipe for N = n_rows training rows of a table, x (N, n_in) as the encoding gives them.

    Fewer rows are seen in smaller batches and more often.
    """
    loss = get_loss(LOSSES[task])
    numbers = inputs.n_numeric if isinstance(inputs, TableEncoding) else n_in
    embedded: tuple[Layer, ...] = ()
    if numbers:
        waves = (Periodic(FREQUENCIES, SIGMA), BlockDense(numbers, EMBEDDING, "relu"))
        embedded = (Beside(Sequential(waves), numbers),)
    members = tabm(
        HIDDEN, n_out, link=loss.function.predict, dropout=DROPOUT, members=MEMBERS, factors="signs"
    )
    batch = batch_size(n_rows)
    epochs = min(max(FEWEST_EPOCHS, round(STEPS * batch / n_rows)), MOST_EPOCHS)
    return Preset(
        Sequential((*input_layers(inputs), *embedded, *members.layers)),
        loss,
        Optimizer("adamw", LEARNING_RATE, "cosine", weight_decay=WEIGHT_DECAY),
        {"epochs": epochs, "batch_size": batch, "select": "best"},
    )


def batch_size(n_rows: int) -> int:
    """The power of two that leaves `BATCHES` an epoch, within bounds, and at most all rows."""
    fits = 1 << max(n_rows // BATCHES, 1).bit_length() - 1
    return min(max(SMALLEST_BATCH, min(fits, LARGEST_BATCH)), n_rows)
