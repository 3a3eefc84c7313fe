"""Flax NNX and Optax in the loop of Flax's guide: an `nnx.jit` step a batch."""

from typing import Any

import numpy as np
from flax import nnx

from trainers.contenders.flax_model import Network, update
from trainers.contenders.optax_model import LoopContender, adam
from trainers.problem import Weights

_step = nnx.jit(update)


class Trainer(LoopContender):
    """Model and optimizer are updated in place."""

    def start(self) -> None:
        """A new model and optimizer."""
        self.model = Network(self.problem, self.products)
        self.optimizer = nnx.Optimizer(self.model, adam(), wrt=nnx.Param)

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One jitted update."""
        _step(self.model, self.optimizer, x, y)

    def state(self) -> Any:
        """Of the model and the optimizer."""
        return nnx.state((self.model, self.optimizer))

    def weights(self) -> Weights:
        """Of the model."""
        return self.model.weights()
