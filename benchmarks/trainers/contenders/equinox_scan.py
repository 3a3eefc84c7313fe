"""Equinox and Optax in a scan: the model's arrays are carried, the rest is static."""

from typing import Any

import equinox as eqx

from trainers.contenders.equinox_model import first_state, network, update, weights_of
from trainers.contenders.optax_model import ScanContender
from trainers.problem import Weights


class Trainer(ScanContender):
    """The carry is the model's arrays and the optimizer state."""

    def start(self) -> None:
        """A new model and optimizer state, without what is static."""
        model = network(self.problem)
        arrays, self.static = eqx.partition(model, eqx.is_array)
        self.carry = (arrays, first_state(model))

    def update(self, carry: Any, x: Any, y: Any) -> Any:
        """One update."""
        arrays, opt_state = carry
        model = eqx.combine(arrays, self.static)
        model, opt_state = update(model, opt_state, x, y, self.products)
        return eqx.filter(model, eqx.is_array), opt_state

    def weights(self) -> Weights:
        """Of the model."""
        return weights_of(eqx.combine(self.carry[0], self.static))
