"""Contenders for the gradient of a point, alone or in a whole step of Adam.

Every contender differentiates the same forward pass of the same network: matrices cast to the type
of the products inside the program, the loss in the type of the parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from jaxtyping import Array

from mlp_jax.backprop import (
    Layer,
    apply,
    get_loss,
    loss_with_manual_gradient,
    mlp,
    value_and_grad,
)
from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError
from mlp_jax.model.precision import PRECISIONS, Precision, known_precision

CLASSES = 10
BY_HAND, BY_JAX, CUSTOM_VJP = "by hand", "jax.grad", "custom_vjp"
LOSS = get_loss("softmax_cross_entropy")
Gradient = Callable[[Params, Array, Array], tuple[Array, Params]]


@dataclass(frozen=True)
class Point:
    """A measured case: `depth` hidden layers of `width` units on `n_in` inputs, 10 classes."""

    width: int
    depth: int
    batch_size: int
    activation: str = "relu"
    precision: str = "float32"
    n_in: int = 784

    def __post_init__(self) -> None:
        for name in ("width", "depth", "batch_size", "n_in"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"The {name.replace('_', ' ')} of a point is at least 1, not"
                    f" {getattr(self, name)}."
                )
        known_precision(self.precision)
        get_activation(self.activation)

    @property
    def network(self) -> Layer:
        """Network of the point."""
        return mlp([self.width] * self.depth, CLASSES, self.activation)

    @property
    def policy(self) -> Precision:
        """Types of its computation."""
        return PRECISIONS[self.precision]

    def __str__(self) -> str:
        return (
            f"{self.n_in}-{self.width}×{self.depth}-{CLASSES}, batch {self.batch_size},"
            f" {self.activation}, {self.precision}"
        )


def examples(point: Point, dtype: DTypeLike) -> tuple[Any, Array, Array]:
    """Draw (params, x, y) of a point: He's or Glorot's weights, normal inputs, random labels."""
    params, _ = jax.jit(point.network.init, static_argnums=1)(jax.random.key(0), point.n_in)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((point.batch_size, point.n_in), np.float32)
    y = rng.integers(0, CLASSES, point.batch_size).astype(np.int32)
    cast = jax.tree.map(lambda p: p.astype(dtype), params)
    return cast, jnp.asarray(x, dtype), jnp.asarray(y)


def by_hand(point: Point) -> Gradient:
    """Return the hand-written backward pass, `value_and_grad` of this package."""
    gradient, products = value_and_grad(point.network, LOSS), point.policy.products

    def run(params: Params, x: Array, y: Array) -> Any:
        return gradient(cast_weights(params, products), x, y)

    return run


def by_jax(point: Point) -> Gradient:
    """Return `jax.value_and_grad` of the same forward pass."""
    network, products = point.network, point.policy.products

    def objective(params: Params, x: Array, y: Array) -> Array:
        output = apply(network, cast_weights(params, products), x, train=True)
        return jnp.mean(LOSS.value(output.astype(x.dtype), y))

    return jax.value_and_grad(objective)


def by_custom_vjp(point: Point) -> Gradient:
    """Return `jax.value_and_grad` of a loss whose `custom_vjp` is the hand-written pass."""
    gradient = by_hand(point)

    def run(params: Params, x: Array, y: Array) -> Any:
        return jax.value_and_grad(loss_with_manual_gradient(lambda p: gradient(p, x, y)))(params)

    return run


CONTENDERS: dict[str, Callable[[Point], Gradient]] = {
    BY_HAND: by_hand,
    BY_JAX: by_jax,
    CUSTOM_VJP: by_custom_vjp,
}


def adam_step(gradient: Gradient) -> Callable[..., Any]:
    """Return a function (params, optimizer state, x, y) -> both after one step of Adam."""
    adam = optax.adam(1e-3)

    def step(params: Params, state: State, x: Array, y: Array) -> Any:
        value, grads = gradient(params, x, y)
        updates, state = adam.update(grads, state, params)
        return value, optax.apply_updates(params, updates), state

    return step


def adam_state(params: Params) -> Any:
    """Return Adam's initial state."""
    return optax.adam(1e-3).init(params)
