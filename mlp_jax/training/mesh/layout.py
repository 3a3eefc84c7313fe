"""How the arrays of a training lie on a mesh: `data` splits the examples, `model` the weights.

D devices along data, M along model. Every array lies whole on each device unless said otherwise.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mlp_jax.backprop import Layer
from mlp_jax.training.mesh.partition_rules import MODEL, parameter_specs

DATA = "data"


@dataclass(frozen=True)
class Layout:
    """A mesh with the axes data and model, and what is split over it.

    shard_optimizer: what the optimizer remembers of each parameter is split over data as well
    (ZeRO, stage 1: Rajbhandari 2020), so that D devices hold it once and not D times.
    """

    mesh: Mesh
    shard_optimizer: bool = False

    @property
    def data(self) -> int:
        """D: how many parts the examples are split into."""
        return int(self.mesh.shape[DATA])

    @property
    def model(self) -> int:
        """M: how many parts the weights are split into."""
        return int(self.mesh.shape[MODEL])

    @property
    def whole(self) -> NamedSharding:
        """Of an array that every device holds."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def by_rows(self) -> NamedSharding:
        """Of an array whose first axis is split over data."""
        return NamedSharding(self.mesh, PartitionSpec(DATA))

    def split_rows(self, tree: Any) -> Any:
        """Within a program: the arrays of a batch, their first axis split over data."""
        return jax.lax.with_sharding_constraint(tree, jax.tree.map(self._batch, tree))

    def _batch(self, leaf: Any) -> NamedSharding:
        return self.by_rows if leaf.ndim and leaf.shape[0] % self.data == 0 else self.whole

    def shardings(self, network: Layer, state: Any) -> Any:
        """Where each leaf of a `TrainState` of arrays or of their shapes lies, as a tree like it.

        What the optimizer and the moving average keep of a parameter is found by its path and
        shape, and lies as the parameter does.
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

    def parameter_shardings(self, network: Layer, params: Any, state: Any) -> tuple[Any, Any]:
        """Where each parameter and each leaf of the layers' state lies, as trees like them."""
        specs = parameter_specs(network, params, state, self.model)
        return jax.tree.map(
            lambda spec: NamedSharding(self.mesh, spec), specs,
            is_leaf=lambda leaf: isinstance(leaf, PartitionSpec),
        )  # fmt: skip

    def _split_further(self, spec: PartitionSpec, leaf: Any) -> PartitionSpec:
        """The first axis that is whole and long enough split over data."""
        axes = list(spec) + [None] * (leaf.ndim - len(spec))
        for index, axis in enumerate(axes):
            if axis is None and leaf.shape[index] % self.data == 0 and leaf.shape[index]:
                axes[index] = DATA
                return PartitionSpec(*axes)
        return spec

    def constrained(self, network: Layer, state: Any) -> Any:
        """Within a program: the state, where it lies between the steps."""
        return jax.lax.with_sharding_constraint(state, self.shardings(network, state))

    def padding(self, n: int) -> int:
        """How many rows fill n up to equal parts."""
        return math.ceil(n / self.data) * self.data - n


def _flat(tree: Any) -> list[tuple[tuple[Any, ...], Any]]:
    return list(jax.tree_util.tree_flatten_with_path(tree)[0])
