"""Dropout, with its backward by hand."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.errors import InputError


def keep_mask(key: Array, rate: float, shape: tuple[int, ...]) -> Bool[Array, "N J"]:
    """True with probability 1 − rate (to 2⁻¹⁶), one 16-bit draw an element."""
    draws = jax.random.bits(key, shape, jnp.uint16)
    return draws >= jnp.uint16(min(round(rate * 2**16), 2**16 - 1))


@dataclass(frozen=True)
class Dropout(Layer):
    """Set each activation to 0 with probability `rate` in training, scale the rest by 1/(1−rate).

    The identity in inference (Srivastava 2014, inverted form).

    Args:
        rate: probability, from 0 to below 1.
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise InputError(f"The dropout rate must lie in [0, 1), not {self.rate}.")

    def __str__(self) -> str:
        return f"Dropout({self.rate:g})"

    @property
    def draws(self) -> bool:
        """True: the mask is random."""
        return True

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Array | None]:
        """a' = m ⊙ a / (1 − rate), m drawn from `key`; the mask m is the residual."""
        if not train:
            return a, state, None
        assert key is not None, "the caller checks that a network that draws has a key"
        keep = keep_mask(key, self.rate, a.shape)
        return self._scaled(keep, a), state, keep

    def backward(
        self,
        params: Params,
        residual: Array | None,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """∇a = m ⊙ ∇a' / (1 − rate): the same mask, because a' is linear in each element of a."""
        if residual is None:
            return grad_a_next, {}
        return self._scaled(residual, grad_a_next), {}

    def _scaled(self, keep: Array, values: Array) -> Array:
        return jnp.where(keep, values / (1 - self.rate), jnp.zeros_like(values))
