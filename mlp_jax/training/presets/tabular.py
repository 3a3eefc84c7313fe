"""Recipe `tabular`; `docs/presets.md` justifies each part.

Numbers to predict: RealMLP, in `tabular_numbers`. Classes: TabM on periodic embeddings,
Gorishniy 2024, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling": k
members share one MLP and differ by rank-one factors (Wen 2020, BatchEnsemble); the mean of their
losses is minimized, and the mean of their probabilities is predicted. Each number is embedded as
waves of many frequencies with a separate small dense layer (Gorishniy 2022, PLR), categories are
one-hot or embedded (Guo & Berkhahn 2016). Most waves are long, σ = 0.1 (Holzmüller 2024), which
learns slow dependence from few rows. A number whose values each occur in many rows, such as a
capital gain to the last digit, gets short waves, σ = 15, that separate neighbouring values.
"""

import numpy as np

from mlp_jax.backprop import Beside, BlockDense, Layer, Periodic, Sequential, get_loss
from mlp_jax.backprop.tables import tabm
from mlp_jax.data.encoding import InputEncoding, TableEncoding, input_layers
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.model.metrics import Task
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.presets.preset import Pace, Preset
from mlp_jax.training.presets.tabular_numbers import tabular_numbers

LOSSES: dict[Task, str] = {
    "classification": "softmax_cross_entropy",
    "multilabel": "sigmoid_cross_entropy",
}
FREQUENCIES, EMBEDDING = 48, 16
LONG, SHORT = 0.1, 15.0
SHARED = 25  # rows per distinct value from which each value is learned separately
MEMBERS, HIDDEN, DROPOUT = 8, (256, 256), 0.3
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
PACE = Pace(batch=(32, 512), batches=50, epochs=(8, 60), steps=500)


def tabular_columns() -> ColumnOptions:
    """Return quantile scaling to normal scores, which suits the waves for any distribution."""
    return ColumnOptions(scaling="quantile")


def wave_spreads(x: np.ndarray) -> tuple[float, ...]:
    """Return σ of the waves of each column of x (N, G): short if many rows share a value."""
    values = (len(np.unique(column)) for column in x.T)
    return tuple(SHORT if len(x) >= SHARED * count else LONG for count in values)


def tabular(
    inputs: InputEncoding | None,
    n_in: int,
    n_out: int,
    task: Task,
    n_rows: int,
    x: np.ndarray | None = None,
) -> Preset:
    """Return the recipe for N = n_rows training rows of a table, x (N, n_in) as encoded.

    Fewer rows use smaller batches and more epochs. Without x all waves are long.
    """
    numbers = inputs.n_numeric if isinstance(inputs, TableEncoding) else n_in
    spreads = LONG if x is None or not numbers else wave_spreads(x[:, :numbers])
    if task == "regression":
        return tabular_numbers(inputs, numbers, n_out, n_rows, spreads)
    loss = get_loss(LOSSES[task])
    embedded: tuple[Layer, ...] = ()
    if numbers:
        waves = (Periodic(FREQUENCIES, spreads), BlockDense(numbers, EMBEDDING, "relu"))
        embedded = (Beside(Sequential(waves), numbers),)
    members = tabm(
        HIDDEN, n_out, link=loss.function.predict, dropout=DROPOUT, members=MEMBERS, factors="signs"
    )
    return Preset(
        Sequential((*input_layers(inputs), *embedded, *members.layers)),
        loss,
        Optimizer(
            name="adamw", learning_rate=LEARNING_RATE, schedule="cosine", weight_decay=WEIGHT_DECAY
        ),
        PACE.options(n_rows),
    )
