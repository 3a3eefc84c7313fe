"""The orders of the epochs, each drawn while the epoch before it is trained."""

import jax
import numpy as np
from jaxtyping import Array, Int

from mlp_jax.training.epoch import Seed, epoch_order


class Orders:
    """`epoch_order` of one run, with the next epoch's kept ready.

    A draw sorts all rows. Where a step keeps a single core busy, another sorts beside it; a GPU
    has it in its queue. What is drawn is the same either way.
    """

    def __init__(self, seed: Seed, n: int, batch_size: int) -> None:
        self.seed, self.n, self.batch_size = seed, n, batch_size
        self.ready: dict[int, Int[Array, " M"]] = {}

    def of(self, epoch: int) -> Int[Array, " M"]:
        """The order of that epoch, drawn now unless it is ready."""
        ready = self.ready.pop(epoch, None)
        return self._draw(epoch) if ready is None else ready

    def prepare(self, epoch: int) -> None:
        """Start drawing that epoch's order without waiting; call it when the device has work."""
        if epoch not in self.ready:
            self.ready = {epoch: self._draw(epoch)}

    def wait(self) -> None:
        """Until what is being drawn is there."""
        jax.block_until_ready(self.ready)

    def _draw(self, epoch: int) -> Int[Array, " M"]:
        return epoch_order(self.seed, np.int32(epoch), self.n, self.batch_size)
