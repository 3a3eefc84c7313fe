"""Equinox and Optax in the loop of Equinox's guide: an `eqx.filter_jit` step a batch."""

from typing import Any

import equinox as eqx
import numpy as np

from trainers.contenders.equinox_model import first_state, network, update, weights_of
from trainers.contenders.optax_model import LoopContender
from trainers.problem import Weights

_step = eqx.filter_jit(update)


class Trainer(LoopContender):
    """Model and optimizer state go in and come out."""

    def start(self) -> None:
        """A new model and optimizer state."""
        self.model = network(self.problem)
        self.opt_state = first_state(self.model)

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One jitted update."""
        self.model, self.opt_state = _step(self.model, self.opt_state, x, y, self.products)

    def state(self) -> Any:
        """The arrays of the model and the optimizer."""
        return eqx.filter((self.model, self.opt_state), eqx.is_array)

    def weights(self) -> Weights:
        """Of the model."""
        return weights_of(self.model)
