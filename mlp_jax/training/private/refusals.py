"""What a private run refuses, each with its reason: whatever would tell of the rows besides g̃."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optax

from mlp_jax.backprop import Ensemble, Layer
from mlp_jax.errors import InputError
from mlp_jax.model.precision import Precision
from mlp_jax.training.optimizers import Optimizer

OPTIMIZERS = (
    "sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb", "muon",
)  # fmt: skip
PRECISIONS = ("float32", "float64")


def check_fit(
    network: Layer,
    optimizer: Optimizer | optax.GradientTransformation,
    precision: Precision,
    *,
    sample_weight: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    patience: int | None,
    select: str,
) -> None:
    """InputError for what a private training cannot be."""
    name = optimizer.name if isinstance(optimizer, Optimizer) else OPTIMIZERS[0]
    refuse(
        (
            network.couples_examples,
            "batch norm: it mixes the examples, so none has a gradient of its own to clip",
        ),
        (network.has_state, "a layer that keeps figures of the rows it saw"),
        (isinstance(network, Ensemble), "an ensemble: its members are not clipped each by itself"),
        (
            name not in OPTIMIZERS,
            f"{name}: it looks at more of the rows than their noised gradient, as"
            f" {', '.join(OPTIMIZERS)} do not",
        ),
        (
            precision.name not in PRECISIONS,
            f"{precision.name}: its rounding would lengthen gradients that are clipped already;"
            " float32 and float64 can be",
        ),
        (sample_weight is not None, "sample weights: they would undo the clip"),
        (class_weight is not None, "class weights: they are counted from the rows"),
        (
            patience is not None,
            "early stopping: the noise is chosen for all epochs, and validation rows are not"
            " protected",
        ),
        (
            select == "best",
            "the best epoch by validation rows, which are not protected: the last one is taken",
        ),
    )


def check_start(start: Any) -> None:
    """InputError for weights to start from."""
    refuse((start is not None, "weights to start from: nobody counted what they tell of the rows"))


def refuse(*cases: tuple[bool, str]) -> None:
    """InputError for the first case that holds, with its reason."""
    for holds, reason in cases:
        if holds:
            raise InputError(f"A private run cannot have {reason}.")
