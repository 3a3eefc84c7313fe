"""Flax NNX and Optax in a scan: split into graph and state, merged in every step."""

from typing import Any

from flax import nnx

from trainers.contenders.flax_model import Network, update
from trainers.contenders.optax_model import ScanContender, adam
from trainers.problem import Weights


class Trainer(ScanContender):
    """The carry is the state of model and optimizer."""

    def start(self) -> None:
        """A new model and optimizer, split."""
        model = Network(self.problem, self.products)
        self.graph, self.carry = nnx.split((model, nnx.Optimizer(model, adam(), wrt=nnx.Param)))

    def update(self, carry: Any, x: Any, y: Any) -> Any:
        """Merge, update, split."""
        model, optimizer = nnx.merge(self.graph, carry)
        update(model, optimizer, x, y)
        return nnx.state((model, optimizer))

    def weights(self) -> Weights:
        """Of the merged model."""
        return nnx.merge(self.graph, self.carry)[0].weights()
