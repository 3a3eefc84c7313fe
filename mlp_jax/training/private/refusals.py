"""What a private run refuses, each with its reason: whatever would tell of the rows besides g̃."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optax

from mlp_jax.backprop import Ensemble, Layer
from mlp_jax.errors import InputError
from mlp_jax.model.precision import Precision
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.private.asked import Privacy

if TYPE_CHECKING:
    from mlp_jax.training.run.config import TrainConfig

OPTIMIZERS = (
    "sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb", "muon",
)  # fmt: skip
PRECISIONS = ("float32", "float64")
ONLY_PRIVATE = ("epsilon", "delta", "clip_example", "input_range")


def check_options(config: "TrainConfig") -> None:
    """InputError for options of private runs without --private, and for those that leak with it."""
    if not config.private:
        given = [name for name in ONLY_PRIVATE if getattr(config, name) not in (None, ())]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{options} is for private runs: add --private.")
        return
    if config.epsilon is None or config.delta is None:
        raise InputError(
            "A private run is told how much it may tell: --epsilon 3 --delta 1e-5, say, with a"
            " delta below 1/rows."
        )
    _refuse(
        (
            config.init_from is not None,
            "--init-from: that model may have learned from the same rows, and nobody counted it",
        ),
        (config.ensemble != 1, "--ensemble: every member would spend all of it"),
        (config.histograms, "--histograms: they show the gradients of single batches"),
    )


def privacy_of(config: "TrainConfig") -> Privacy | None:
    """What a private run was told that it may tell; None of another run."""
    if not config.private or config.epsilon is None or config.delta is None:
        return None
    clip = 1.0 if config.clip_example is None else config.clip_example
    return Privacy(config.epsilon, config.delta, clip)


def check_resume(saved: "TrainConfig", asked: "TrainConfig", finished: bool) -> None:
    """InputError where a private run is over, or asked to go on for longer than planned."""
    if not saved.private:
        return
    if asked.epochs != saved.epochs:
        raise InputError(
            f"The noise of this private run was chosen for {saved.epochs} epochs, so there cannot"
            f" be {asked.epochs}."
        )
    if finished:
        raise InputError("This private run is over, and what it may tell is told.")


def check_fit(
    network: Layer,
    optimizer: Optimizer | optax.GradientTransformation,
    precision: Precision,
    *,
    sample_weight: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    patience: int | None,
    select: str,
    importance: int | None,
) -> None:
    """InputError for what a private training cannot be."""
    name = optimizer.name if isinstance(optimizer, Optimizer) else OPTIMIZERS[0]
    _refuse(
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
        (
            importance is not None,
            "importance sampling: it draws rows by what the network says of them",
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


def check_start(start: Any, diagnostics: bool) -> None:
    """InputError for weights to start from, and for a look at the rows between the epochs."""
    _refuse(
        (start is not None, "weights to start from: nobody counted what they tell of the rows"),
        (diagnostics, "diagnostics: they show the gradients of single batches"),
    )


def _refuse(*cases: tuple[bool, str]) -> None:
    for holds, reason in cases:
        if holds:
            raise InputError(f"A private run cannot have {reason}.")
