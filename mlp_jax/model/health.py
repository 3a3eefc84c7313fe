"""How each layer of a network does on a batch, from a pass that was watched (`proof.observe`).

A layer is one with neurons, `Dense` or `Activation`, by its path in the network. N examples, J
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
    """One layer over a batch.

    active (J,): the units that are not dead.  saturated: the share of activations where f is flat.
    Both None without an activation.  a_square, grad_z_square: the means of ‖a‖² of what the layer
    gives on and of ‖∇z‖² over the examples.
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
    """The health of every layer that has neurons, from the log of one pass forward and back.

    c (N,): the weights of the pass; examples with 0 are left out. weighted: ∇z carries c, as in
    `Tape.weighted`, and is divided by it, so that it is each example's own.
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
    """∇z: δ of the weight matrix, or what equation 1 gave of an activation by itself."""
    return seen.records["W"].delta if "W" in seen.records else seen.grad_a


def _activation(layer: Dense | Activation, seen: Seen) -> tuple[str, Array]:
    """The layer's function and the z that it was given."""
    if isinstance(layer, Activation):
        return layer.name, seen.a
    W = seen.params["W"]
    return layer.activation, pre_activation(W, seen.params.get("b"), seen.a.astype(W.dtype))
