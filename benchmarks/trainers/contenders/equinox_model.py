"""The network of the Equinox contenders, and the step of Equinox's guide."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from trainers.contenders.optax_model import adam, mean_loss
from trainers.problem import Problem, Weights


def network(problem: Problem) -> eqx.nn.Sequential:
    """Linear layers with ReLU between them; Equinox multiplies by W from the left."""
    layers: list[Any] = []
    for W, b in problem.weights:
        layer = eqx.nn.Linear(*W.shape, key=jax.random.key(0))
        given = (jnp.asarray(W.T), jnp.asarray(b))
        layer = eqx.tree_at(lambda linear: (linear.weight, linear.bias), layer, given)
        layers += [layer, eqx.nn.Lambda(jax.nn.relu)]
    return eqx.nn.Sequential(layers[:-1])


def update(model: Any, opt_state: Any, x: Any, y: Any, products: Any) -> tuple[Any, Any]:
    """`make_step` of Equinox's guide: the model takes one row, `vmap` makes it take a batch."""

    def loss(model: Any) -> Any:
        if products != jnp.float32:
            model = jax.tree.map(
                lambda leaf: leaf.astype(products) if eqx.is_array(leaf) else leaf, model
            )
        return mean_loss(jax.vmap(model)(x.astype(products)), y)

    grads = eqx.filter_grad(loss)(model)
    updates, opt_state = adam().update(grads, opt_state, eqx.filter(model, eqx.is_array))
    return eqx.apply_updates(model, updates), opt_state


def first_state(model: Any) -> Any:
    """Adam's."""
    return adam().init(eqx.filter(model, eqx.is_array))


def weights_of(model: Any) -> Weights:
    """W and b of each layer."""
    linear = [layer for layer in model.layers if isinstance(layer, eqx.nn.Linear)]
    return [(np.asarray(layer.weight).T.copy(), np.asarray(layer.bias)) for layer in linear]
