"""The rows of a batch from a data set whose rows are spread over the devices.

N rows in the data set, N/D on each device; B in a batch.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Int, Shaped

from mlp_jax.training.mesh.layout import DATA, Layout


def rows_from(
    layout: Layout | None, array: Shaped[Array, "N ..."], rows: Int[Array, " B"]
) -> Shaped[Array, "B ..."]:
    """The rows of the array; on a mesh each device gets its B/D of them, or all if D does not
    divide B.

    Each device looks the rows up among its own, with zeros for those that it does not hold, and
    one reduce-scatter over data adds them up: every row comes from the one that holds it.
    """
    if layout is None:
        return array.at[rows].get(mode="clip")
    even = rows.shape[0] % layout.data == 0

    def own(block: Array, rows: Array) -> Array:
        place = rows - jax.lax.axis_index(DATA) * block.shape[0]
        is_local = (place >= 0) & (place < block.shape[0])
        found = block.at[place].get(mode="clip")
        found = jnp.where(
            is_local.reshape(-1, *[1] * (found.ndim - 1)), found, jnp.zeros_like(found)
        )
        if even:
            return jax.lax.psum_scatter(found, DATA, tiled=True)
        return jax.lax.psum(found, DATA)

    return jax.shard_map(
        own,
        mesh=layout.mesh,
        in_specs=(PartitionSpec(DATA), PartitionSpec()),
        out_specs=PartitionSpec(DATA) if even else PartitionSpec(),
    )(array, rows)
