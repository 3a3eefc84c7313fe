"""Partition rules of the axis `model`: columns of one layer, rows of the next.

Shoeybi 2019, "Megatron-LM", section 3. A dense layer whose W (I, J) is split by columns gives each
device J/M neurons, and z, f(z), ∇z and ∇W are all local. The next layer is split by rows: each
device multiplies its activations with its rows of W, and one all-reduce adds up z. Backwards, the
two layers need one all-reduce for ∇a. Activations, dropout and the vectors of a norm between them
are split like the neurons.
"""

from typing import Any

import jax
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

from mlp_jax.backprop import Dense, Layer, Residual, Sequential
from mlp_jax.backprop.normalization import Norm
from mlp_jax.backprop.parametric import ParametricActivation
from mlp_jax.backprop.specification import Params, State

MODEL = "model"
_WHOLE = PartitionSpec()


def parameter_specs(network: Layer, params: Params, state: State, parts: int) -> tuple[Any, Any]:
    """Return the partition specs of the parameters and of the layer state, as trees.

    Args:
        network: the network.
        params, state: its parameters and state, for the structure and shapes.
        parts: M. Axes that M does not divide are replicated, and so is the output layer.
    """
    if parts == 1:
        return _all_whole(params), _all_whole(state)
    specs, kept, _ = _specs(network, params, state, parts, split=False, final=True)
    return specs, kept


def _all_whole(tree: PyTree) -> Any:
    return jax.tree.map(lambda leaf: _WHOLE, tree)


def _specs(
    layer: Layer, params: Params, state: State, parts: int, *, split: bool, final: bool
) -> tuple[Any, Any, bool]:
    """Return the specs of a layer, and whether its output is split.

    Args:
        split: whether its input is split.
        final: whether its output is that of the network.
    """
    if isinstance(layer, Sequential):
        return _of_sequence(layer, params, state, parts, split, final)
    if isinstance(layer, Residual):
        return _of_residual(layer, params, state, parts)
    if isinstance(layer, Dense):
        by_columns = not split and not final and layer.n_out % parts == 0
        return _of_dense(params, split, by_columns), _all_whole(state), by_columns
    if isinstance(layer, Norm | ParametricActivation):
        spec = PartitionSpec(MODEL) if split else _WHOLE
        specs, kept = (jax.tree.map(lambda leaf: spec, tree) for tree in (params, state))
        return specs, kept, split
    passes = not jax.tree.leaves((params, state)) and not layer.children
    return _all_whole(params), _all_whole(state), split and passes


def _of_sequence(
    layer: Sequential, params: Params, state: State, parts: int, split: bool, final: bool
) -> tuple[Any, Any, bool]:
    specs, kept = [], []
    for index, child in enumerate(layer.layers):
        found, figures, split = _specs(
            child,
            params[index],
            state[index],
            parts,
            split=split,
            final=final and index == len(layer.layers) - 1,
        )
        specs.append(found)
        kept.append(figures)
    return tuple(specs), tuple(kept), split


def _of_residual(
    layer: Residual, params: Params, state: State, parts: int
) -> tuple[Any, Any, bool]:
    """Return the specs of a residual block; its sum is replicated."""
    found = [
        _specs(child, params[index], state[index], parts, split=False, final=False)
        for index, child in enumerate(layer.children)
    ]
    return tuple(f[0] for f in found), tuple(f[1] for f in found), False


def _of_dense(params: Params, split: bool, by_columns: bool) -> Any:
    """Split by rows if the input is split, else by columns if possible."""
    if split:
        specs = {"W": PartitionSpec(MODEL, None), "b": _WHOLE}
    elif by_columns:
        specs = {"W": PartitionSpec(None, MODEL), "b": PartitionSpec(MODEL)}
    else:
        specs = {"W": _WHOLE, "b": _WHOLE}
    return {name: specs[name] for name in params}
