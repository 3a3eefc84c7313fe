"""The network of the Flax NNX contenders."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from trainers.contenders.optax_model import mean_loss
from trainers.problem import Problem, Weights


class Network(nnx.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, problem: Problem, products: Any) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List(
            nnx.Linear(n_in, n_out, dtype=products, param_dtype=jnp.float32, rngs=rngs)
            for n_in, n_out in problem.point.layers
        )
        for layer, (W, b) in zip(self.layers, problem.weights, strict=True):
            layer.kernel[...] = jnp.asarray(W)
            layer.bias[...] = jnp.asarray(b)

    def __call__(self, x: Any) -> Any:
        """The output of rows x."""
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return last(x)

    def weights(self) -> Weights:
        """W and b of each layer."""
        return [(np.asarray(p.kernel[...]), np.asarray(p.bias[...])) for p in self.layers]


def update(model: Network, optimizer: nnx.Optimizer, x: Any, y: Any) -> None:
    """The step of Flax's guide."""
    grads = nnx.grad(lambda model: mean_loss(model(x), y))(model)
    optimizer.update(model, grads)
