"""What a preset is: a whole recipe for a kind of data, ready for `mlp_jax.fit`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlp_jax.backprop import Layer, Loss
from mlp_jax.training.optimizers import Optimizer


@dataclass(frozen=True)
class Preset:
    """A network, its loss and optimizer, and the options of `fit` that belong to them.

    options: epochs, batch_size, average, patience, select: keyword arguments of `fit`, under
    which an option of the user's own wins.
    """

    network: Layer
    loss: Loss
    optimizer: Optimizer
    options: Mapping[str, Any] = field(default_factory=dict)
