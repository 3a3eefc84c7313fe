"""Row operations of the records: lengths and inner products."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mlp_jax.backprop.layer import accumulator


def wide(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Convert the values to the type in which they are summed."""
    return values.astype(accumulator(values))


def row_sums(values: Float[Array, "N J"]) -> Float[Array, " N"]:
    """Sum of every row.

    As a product with ones: on a CPU, XLA's own sum along a row adds one number at a time.
    """
    ones = jnp.ones(values.shape[1], values.dtype)
    return jnp.matmul(values, ones, precision=lax.Precision.HIGHEST)


def squared_lengths(rows: Float[Array, "N J"]) -> Float[Array, " N"]:
    """‖rowₙ‖² of every row, in float32 or wider."""
    return row_sums(wide(rows) ** 2)


def products(rows: Float[Array, "N J"], others: Float[Array, "M J"]) -> Float[Array, "N M"]:
    """⟨rowₙ, otherₘ⟩ of every pair, rows · othersᵀ."""
    over_features = (((1,), (1,)), ((), ()))
    return lax.dot_general(rows, others, over_features, preferred_element_type=accumulator(rows))
