"""Recipe of `tabular` for numbers to predict: RealMLP, learned waves beside each number.

Holzmüller 2024, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data":
beside each number a few learned combinations of its cosines; a learned scale for each input;
weights that move by steps of one size whatever the width (NTK parametrization); a learned
activation; Adam with β₂ = 0.95, learning rates by kind of parameter, and a schedule of four waves.
Differences: quantiles instead of the interquartile range, initial weights that do not depend on the
rows, and batches of equal size.
"""

from mlp_jax.backprop import Sequential, get_loss
from mlp_jax.backprop.tables import realmlp
from mlp_jax.data.encoding import InputEncoding, input_layers
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.presets.preset import Preset

HIDDEN, DROPOUT, ACTIVATION = (256, 256, 256), 0.15, "mish"
OPTIMIZER = Optimizer(
    name="adamw",
    learning_rate=0.2,
    schedule="coslog4",
    weight_decay=2e-2,
    beta_2=0.95,
    decay_schedule="flat-cosine",
    rate_factors=(("b", 0.1), ("s", 6.0), ("alpha", 0.1), ("w", 0.1), ("phase", 0.1)),
)
BATCH, EPOCHS, STEPS = 256, (64, 256), 12_000


def pace(n_rows: int) -> dict[str, int]:
    """Return batch_size and epochs: batches of equal size, and fewer epochs for many rows.

    A last batch of a few rows would move the weights as far as a whole one, by more noise.
    """
    batches = -(-n_rows // BATCH)
    epochs = min(max(STEPS // batches, EPOCHS[0]), EPOCHS[1])
    return {"batch_size": -(-n_rows // batches), "epochs": epochs}


def tabular_numbers(
    inputs: InputEncoding | None,
    numbers: int,
    n_out: int,
    n_rows: int,
    sigma: float | tuple[float, ...],
) -> Preset:
    """Return the recipe for n_rows training rows that begin with `numbers` numeric inputs.

    Args:
        inputs: encoding of the rows; None if they are numeric only.
        numbers: number of numeric inputs.
        n_out: number of targets.
        n_rows: number of training rows.
        sigma: σ of the waves, one for all numeric inputs or one for each.
    """
    network = realmlp(numbers, HIDDEN, n_out, ACTIVATION, dropout=DROPOUT, sigma=sigma)
    return Preset(
        Sequential((*input_layers(inputs), *network.layers)),
        get_loss("squared_error"),
        OPTIMIZER,
        pace(n_rows),
    )
