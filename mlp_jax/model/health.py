"""Health of each layer on a batch, from an observed pass (`proof.observe`).

Covers the layers with neurons, `Dense` and `Activation`, by path in the network. N examples, J
units of a layer.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop import Activation, Dense, Layer
from mlp_jax.backprop.layer import pre_activation
from mlp_jax.backprop.row_products import wide
from mlp_jax.backprop.units import active_units, mean_square_norm, saturated_share
from mlp_jax.proof.observe import Path, Seen, walk


class LayerHealth(NamedTuple):
    """Statistics of one layer over a batch.

    Attributes:
        active: mask (J,) of units that are not dead; None without an activation.
        saturated: share of activations in a flat region of f; None without an activation.
        a_square: mean of ‖a‖² of the layer's output over the examples.
        grad_z_square: mean of ‖∇z‖² over the examples.
    """

    active: Bool[Array, " J"] | None
    saturated: Float[Array, ""] | None
    a_square: Float[Array, ""]
    grad_z_square: Float[Array, ""]


def layer_health(
    network: Layer,
    log: Mapping[Path, Seen],
    c: Float[Array, " N"] | None = None,
    *,
    weighted: bool = False,
) -> dict[Path, LayerHealth]:
    """Return the health of every layer with neurons, from the log of one forward and backward pass.

    c: weights (N,) of the pass; examples with 0 are skipped. weighted: ∇z carries c, as in
    `Tape.weighted`, and is divided by it.
    """
    counted = None if c is None else c > 0
    found = {}
    for path, layer in walk(network):
        if not isinstance(layer, (Dense, Activation)):
            continue
        seen, grad_z = log[path], _grad_z(log[path])
        if weighted and c is not None:
            grad_z = wide(grad_z) / jnp.where(c > 0, c, jnp.ones_like(c))[:, None]
        name, z = _activation(layer, seen)
        plain = name == "identity"
        found[path] = LayerHealth(
            None if plain else active_units(seen.a_next, counted),
            None if plain else saturated_share(name, z, counted),
            mean_square_norm(seen.a_next, counted),
            mean_square_norm(grad_z, counted),
        )
    return found


def _grad_z(seen: Seen) -> Array:
    """Return ∇z: δ of the weight matrix, or the gradient from equation 1 for a lone activation."""
    return seen.records["W"].delta if "W" in seen.records else seen.grad_a


def _activation(layer: Dense | Activation, seen: Seen) -> tuple[str, Array]:
    """Return the layer's function and its pre-activations z."""
    if isinstance(layer, Activation):
        return layer.name, seen.a
    W = seen.params["W"]
    return layer.activation, pre_activation(W, seen.params.get("b"), seen.a.astype(W.dtype))
