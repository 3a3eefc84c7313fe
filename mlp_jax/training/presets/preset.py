"""Preset: a complete recipe for a kind of data, ready for `mlp_jax.fit`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlp_jax.backprop import Layer, Loss
from mlp_jax.training.optim.optimizers import Optimizer


@dataclass(frozen=True)
class Preset:
    """A network, its loss and optimizer, and the options of `fit` that belong to them.

    options: epochs, batch_size, average, patience, select: keyword arguments of `fit`; options of
    the user take precedence.
    """

    network: Layer
    loss: Loss
    optimizer: Optimizer
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pace:
    """Batch size and epochs by the number of rows: fewer rows use smaller batches and more epochs.

    batch, epochs: bounds. batches: minimum number of batches per epoch, unless the batch is the
    smallest. steps: total steps of the epochs.
    """

    batch: tuple[int, int]
    batches: int
    epochs: tuple[int, int]
    steps: int

    def options(self, n_rows: int) -> dict[str, int]:
        """Return batch_size, a power of two and at most all rows, and epochs."""
        fits = 1 << max(n_rows // self.batches, 1).bit_length() - 1
        batch = min(max(self.batch[0], min(fits, self.batch[1])), n_rows)
        epochs = round(self.steps / -(-n_rows // batch))
        return {
            "batch_size": batch,
            "epochs": min(max(self.epochs[0], epochs), self.epochs[1]),
        }
