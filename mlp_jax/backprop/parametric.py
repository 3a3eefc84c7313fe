"""A learned activation: an interpolation between the identity and f for each unit."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.records import PerExample
from mlp_jax.backprop.specification import Layer, State


@dataclass(frozen=True)
class ParametricActivation(Layer):
    """a' = (1 − α) ⊙ z + α ⊙ f(z), α learned for each unit, initially 1.

    Holzmüller 2024, "Better by Default" (RealMLP). Parameter alpha (J,).

    Args:
        name: f by name.
    """

    name: str

    def __post_init__(self) -> None:
        get_activation(self.name)

    def __str__(self) -> str:
        return f"ParametricActivation({self.name})"

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """α = 1: f itself."""
        return {"alpha": jnp.ones((n_in,), jnp.float32)}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Array]:
        """a' = (1 − α) ⊙ z + α ⊙ f(z); z is the residual."""
        alpha = params["alpha"][None].astype(a.dtype)
        return (1 - alpha) * a + alpha * get_activation(self.name).function(a), state, a

    def backward(
        self,
        params: dict[str, Array],
        residual: Array,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, PerExample]]:
        """∇z = ∇a' ⊙ (1 − α + α ⊙ f'(z)), ∇α = ∇a' ⊙ (f(z) − z)."""
        f = get_activation(self.name)
        z = residual.astype(grad_a_next.dtype)
        a = f.function(z)
        slope = f.slope(a if f.keeps == "a" else z)
        alpha = params["alpha"][None].astype(z.dtype)
        grad_z = grad_a_next * (1 - alpha + alpha * slope)
        return grad_z, {"alpha": PerExample(grad_a_next * (a - z))}
