"""Gather the rows of a batch from a data set that is sharded over devices.

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
    """Return these rows of the array, split over data if D divides B.

    Each device selects the rows that it holds, with zeros for the others, and one reduce-scatter
    over data adds them up, so that every row comes from the device that holds it.
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
