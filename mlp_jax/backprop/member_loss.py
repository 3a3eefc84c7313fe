"""Loss of a network with several predictions per example: the mean of their losses."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.losses import Loss
from mlp_jax.backprop.specification import Layer


@dataclass(frozen=True)
class MemberLoss:
    """Eₙ = (1/k) Σ_m E(s_m, yₙ) over the k predictions of example n, s (N, k·C)."""

    loss: Loss
    members: int

    def value(self, output: Float[Array, "N KC"], y: Array) -> Float[Array, " N"]:
        """Mean of the members' losses."""
        each = [self.loss.value(s, y) for s in self._apart(output)]
        return jnp.mean(jnp.stack(each), axis=0)

    def gradient(self, output: Float[Array, "N KC"], y: Array) -> Float[Array, "N KC"]:
        """∇E(s_m, yₙ)/k of each member."""
        each = [self.loss.gradient(s, y) / self.members for s in self._apart(output)]
        return jnp.concatenate(each, axis=1)

    def _apart(self, output: Float[Array, "N KC"]) -> list[Array]:
        return jnp.split(output, self.members, axis=1)


def loss_in(network: Layer, loss: Loss, train: bool) -> Loss | MemberLoss:
    """Return the loss that training minimizes in that mode: itself, or its mean over members."""
    members = network.n_predictions if train else 1
    return loss if members == 1 else MemberLoss(loss, members)
