"""Placement of the training arrays on a mesh: `data` splits the examples, `model` the weights.

D devices along data, M along model. Arrays are replicated unless stated otherwise.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from mlp_jax.backprop import Layer
from mlp_jax.backprop.specification import Params, State
from mlp_jax.training.mesh.partition_rules import MODEL, parameter_specs

DATA = "data"


@dataclass(frozen=True)
class Layout:
    """A mesh with the axes data and model, and the shardings on it.

    Attributes:
        mesh: the devices.
        shard_optimizer: split the optimizer state over data too (ZeRO stage 1, Rajbhandari 2020),
            so that D devices hold it once instead of D times.
    """

    mesh: Mesh
    shard_optimizer: bool = False

    @property
    def data(self) -> int:
        """D, the number of shards of the examples."""
        return int(self.mesh.shape[DATA])

    @property
    def model(self) -> int:
        """M, the number of shards of the weights."""
        return int(self.mesh.shape[MODEL])

    @property
    def whole(self) -> NamedSharding:
        """Sharding of a replicated array."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def by_rows(self) -> NamedSharding:
        """Sharding of an array whose first axis is split over data."""
        return NamedSharding(self.mesh, PartitionSpec(DATA))

    def split_rows(self, tree: PyTree) -> Any:
        """Constrain the arrays of a batch, inside a program, to be split over data."""
        return jax.lax.with_sharding_constraint(tree, jax.tree.map(self._batch, tree))

    def _batch(self, leaf: Any) -> NamedSharding:
        return self.by_rows if leaf.ndim and leaf.shape[0] % self.data == 0 else self.whole

    def shardings(self, network: Layer, state: State) -> Any:
        """Return the sharding of each leaf of a `TrainState` of arrays or shapes, as a tree.

        Optimizer and moving-average leaves are matched to parameters by path and shape, and are
        placed like them.
        """
        where, kept = self.parameter_shardings(network, state.params, state.layer_state)
        by_path = {
            path: (leaf.shape, there.spec)
            for (path, leaf), (_, there) in zip(_flat(state.params), _flat(where), strict=True)
        }

        def like_parameter(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
            for start in range(len(path)):
                shape, spec = by_path.get(path[start:], (None, None))
                if shape == leaf.shape:
                    spec = self._split_further(spec, leaf) if self.shard_optimizer else spec
                    return NamedSharding(self.mesh, spec)
            return self.whole

        return state._replace(
            params=where,
            opt_state=jax.tree_util.tree_map_with_path(like_parameter, state.opt_state),
            layer_state=kept,
            average=()
            if state.average == ()
            else state.average._replace(params=where, layer_state=kept, decay=self.whole),
            step=self.whole,
            alive=self.whole,
        )

    def parameter_shardings(self, network: Layer, params: Params, state: State) -> tuple[Any, Any]:
        """Return the shardings of the parameters and of the layer state, as trees."""
        specs = parameter_specs(network, params, state, self.model)
        return jax.tree.map(
            lambda spec: NamedSharding(self.mesh, spec), specs,
            is_leaf=lambda leaf: isinstance(leaf, PartitionSpec),
        )  # fmt: skip

    def _split_further(self, spec: PartitionSpec, leaf: Any) -> PartitionSpec:
        """Split the first unsplit axis that D divides over data."""
        axes = list(spec) + [None] * (leaf.ndim - len(spec))
        for index, axis in enumerate(axes):
            if axis is None and leaf.shape[index] % self.data == 0 and leaf.shape[index]:
                axes[index] = DATA
                return PartitionSpec(*axes)
        return spec

    def constrained(self, network: Layer, state: State) -> Any:
        """Constrain the state, inside a program, to its placement between steps."""
        return jax.lax.with_sharding_constraint(state, self.shardings(network, state))

    def padding(self, n: int) -> int:
        """Return the number of rows that pad n to equal shards."""
        return math.ceil(n / self.data) * self.data - n


def _flat(tree: PyTree) -> list[tuple[tuple[Any, ...], Any]]:
    return list(jax.tree_util.tree_flatten_with_path(tree)[0])
