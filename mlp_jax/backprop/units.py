"""Statistics of a layer's units over a batch: dead units, saturation, norms.

Letters: N examples, J units, z (N, J) the pre-activations and a = f(z). counted (N,) marks the rows
that are examples, if some are padding; None for all.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.row_products import squared_lengths

FLAT = 0.01  # |f'| below which a unit lets less than a hundredth of the gradient through
RECTIFIERS = ("relu", "relu6", "squared_relu")


def active_units(
    a: Float[Array, "N J"], counted: Bool[Array, " N"] | None = None
) -> Bool[Array, " J"]:
    """Mask of the units that are nonzero on at least one example; the others are dead.

    A dead unit of a rectifier has f' = 0 on every example, so its weights do not learn from them.
    """
    told = a != 0
    return jnp.any(told if counted is None else told & counted[:, None], axis=0)


def saturated_share(
    name: str, z: Float[Array, "N J"], counted: Bool[Array, " N"] | None = None
) -> Float[Array, ""]:
    """Share of the N·J activations where |f'(z)| < 0.01: f is flat there.

    That is |a| > 0.995 for tanh, and a below 0.01 or above 0.99 for the sigmoid. A rectifier is
    flat below 0 by design, so its z ≤ 0 are not included; `active_units` detects too many of them.
    """
    f = get_activation(name)
    kept = z if f.keeps == "z" else f.function(z)
    flat = jnp.abs(f.slope(kept)) < jnp.asarray(FLAT, z.dtype)
    if name in RECTIFIERS:
        flat &= z > 0
    share = jnp.mean(flat.astype(jnp.float32), axis=1)
    return mean_over(share, counted)


def mean_square_norm(
    rows: Float[Array, "N J"], counted: Bool[Array, " N"] | None = None
) -> Float[Array, ""]:
    """Mean of ‖rowₙ‖² over the examples; its root is the layer's ‖a‖ or ‖∇z‖."""
    return mean_over(squared_lengths(rows), counted)


def mean_over(values: Float[Array, " N"], counted: Bool[Array, " N"] | None) -> Float[Array, ""]:
    """Mean over the counted examples; NaN if there are none."""
    if counted is None:
        return jnp.mean(values)
    taken = jnp.where(counted, values, jnp.zeros_like(values))
    return jnp.sum(taken) / jnp.sum(counted, dtype=values.dtype)
