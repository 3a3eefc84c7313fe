"""`Dense` and `Activation`: the specifications that call the equations of `layer.py`."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.initializers import check_initializer, initial_weight
from mlp_jax.backprop.layer import grad_input, grad_pre_activation, pre_activation
from mlp_jax.backprop.records import OuterProduct, PerExample
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.errors import InputError


def activate(name: str, z: Float[Array, "N J"], dtype: DTypeLike) -> tuple[Array, Array | None]:
    """Return a' = f(z) in `dtype` and the argument of its slope: a', z, or None."""
    f = get_activation(name)
    a_next = f.function(z).astype(dtype)
    return a_next, {"a": a_next, "z": z, "nothing": None}[f.keeps]


def slope_times(name: str, kept: Array | None, grad_a_next: Float[Array, "N J"]) -> Array:
    """Equation 1 for the activation of that name: ∇z = ∇a' ⊙ f'(z).

    The barrier separates the two computations where f and f' share a part, such as the tanh of
    GELU; without it the compiler stores that part in the forward pass, an array beside z.
    """
    if kept is None:
        return grad_a_next
    slope = get_activation(name).slope(lax.optimization_barrier(kept).astype(grad_a_next.dtype))
    return grad_pre_activation(grad_a_next, slope)


@dataclass(frozen=True)
class Dense(Layer):
    """a' = f(Wᵀa + b): `n_out` neurons with an activation by name.

    Parameters W (n_in, n_out) and b (n_out,). Products run in W's type, sums and activations in
    float32 or wider.

    Args:
        n_out: number of neurons.
        activation: f by name.
        initializer: of W, by name; None selects the one that suits the activation.
        bias: whether there is a b.
    """

    n_out: int
    activation: str = "identity"
    initializer: str | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        if self.n_out < 1:
            raise InputError(f"A dense layer needs a width of at least 1, not {self.n_out}.")
        get_activation(self.activation)
        if self.initializer is not None:
            check_initializer(self.initializer)

    def __str__(self) -> str:
        return f"Dense({self.n_out}, {self.activation})"

    def width_out(self, n_in: int) -> int:
        """n_out for any input."""
        return self.n_out

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """W from the initializer, b = 0."""
        name = self.initializer or get_activation(self.activation).initializer
        params = {"W": initial_weight(name, key, n_in, self.n_out)}
        if self.bias:
            params["b"] = jnp.zeros((self.n_out,), jnp.float32)
        return params, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, tuple[Array, Array | None]]:
        """Z = A W + 1bᵀ, A' = f(Z)."""
        W = params["W"]
        a = a.astype(W.dtype)
        z = pre_activation(W, params.get("b"), a)
        a_next, kept = activate(self.activation, z, W.dtype)
        return a_next, state, (a, kept)

    def backward(
        self,
        params: dict[str, Array],
        residual: tuple[Array, Array | None],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, OuterProduct | PerExample]]:
        """Equations 1 and 2; the records store what equation 3 contracts."""
        W = params["W"]
        a, kept = residual
        grad_z = slope_times(self.activation, kept, grad_a_next).astype(W.dtype)
        grad_a = grad_input(W, grad_z) if need_grad_a else None
        records: dict[str, OuterProduct | PerExample] = {"W": OuterProduct(a, grad_z)}
        if self.bias:
            records["b"] = PerExample(grad_z)
        return grad_a, records


@dataclass(frozen=True)
class Activation(Layer):
    """a' = f(a): an activation without a dense layer, as after a norm. No parameters.

    Args:
        name: f by name.
    """

    name: str

    def __post_init__(self) -> None:
        get_activation(self.name)

    def __str__(self) -> str:
        return f"Activation({self.name})"

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
        """A' = f(A)."""
        a_next, kept = activate(self.name, a, a.dtype)
        return a_next, state, kept

    def backward(
        self,
        params: Params,
        residual: Array | None,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """Equation 1."""
        return slope_times(self.name, residual, grad_a_next), {}
