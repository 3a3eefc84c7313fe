"""From an estimator's options to a network and a loss; weights to and from the tree.

Letters: N rows, I features, C outputs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from mlp_jax.backprop import Layer, mlp
from mlp_jax.backprop.specification import Params
from mlp_jax.errors import InputError
from mlp_jax.estimators.losses import ScikitLoss

SAME_NAMES = {"logistic": "sigmoid"}
OUT_ACTIVATIONS = {
    "identity": "identity",
    "exp": "exp",
    "softmax": "softmax",
    "sigmoid": "logistic",
}


@dataclass(frozen=True)
class Specification:
    """Network and loss for n_in inputs, hashable: equal ones compile and are checked once."""

    network: Layer
    loss: ScikitLoss
    n_in: int

    @property
    def plain(self) -> bool:
        """True if the network has only dense layers, as scikit-learn's has."""
        return not self.network.draws and all(
            name in ("W", "b") for name, _ in named_leaves(self.shapes)
        )

    @property
    def shapes(self) -> tuple[Any, Any]:
        """Return (params, layer_state) of the network as shapes."""
        return _shapes(self.network, self.n_in)

    @property
    def out_activation(self) -> str:
        """Link from the network's output to the prediction, by scikit-learn's name."""
        link = self.loss.function.predict
        one = link == "softmax" and self.network.width_out(self.n_in) == 1
        return "logistic" if one else OUT_ACTIVATIONS[link]


def specify(
    hidden: Sequence[int],
    n_in: int,
    n_outputs: int,
    activation: str,
    loss: str,
    *,
    dropout: float = 0.0,
    norm: str | None = None,
    residual: bool = False,
    first: Layer | None = None,
) -> Specification:
    """Return the specification. first: a layer of categories before the network."""
    network = mlp(
        hidden,
        n_outputs,
        SAME_NAMES.get(activation, activation),
        dropout=dropout,
        norm=norm,
        residual=residual,
        initializer="glorot_uniform",
    )
    if first is not None:
        network = network.with_children((first, *network.children))
    return Specification(network, ScikitLoss(loss), n_in)


@functools.lru_cache(maxsize=256)
def _shapes(network: Layer, n_in: int) -> Any:
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda key: network.init(key, n_in), key)


def named_leaves(tree: Params) -> list[tuple[str, Any]]:
    """List the leaves of a tree in its order, each with its name in its layer."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(str(getattr(path[-1], "key", path[-1])), leaf) for path, leaf in leaves]


def initial_weights(
    specification: Specification, random: np.random.RandomState, activation: str, dtype: DTypeLike
) -> tuple[Any, Any]:
    """Return (params, layer_state) as NumPy arrays; dense layers drawn as scikit-learn draws them.

    Uniform within ±√(6/(fan-in + fan-out)), 2 in place of 6 for the logistic function (Glorot
    2010), weights and biases alike, each layer's weights before its biases. Other parameters are
    initialized by their layers, from a seed drawn last.
    """
    shapes, state = specification.shapes
    factor = 2.0 if activation == "logistic" else 6.0
    drawn: list[np.ndarray | None] = []
    bound = 0.0
    for name, leaf in named_leaves(shapes):
        if name == "W":
            bound = np.sqrt(factor / sum(leaf.shape))
        known = name in ("W", "b")
        drawn.append(random.uniform(-bound, bound, leaf.shape) if known else None)
    if any(leaf is None for leaf in drawn) or jax.tree.leaves(state):
        seed = random.randint(np.iinfo(np.int32).max)
        start = specification.network.init(jax.random.key(seed), specification.n_in)
        others, state = jax.device_get(start)
        pairs = zip(drawn, jax.tree.leaves(others), strict=True)
        drawn = [other if leaf is None else leaf for leaf, other in pairs]
    params = jax.tree.unflatten(jax.tree.structure(shapes), drawn)
    return as_type(params, dtype), as_type(state, dtype)


def as_type(tree: Params, dtype: DTypeLike) -> Params:
    """Convert the arrays of a tree to NumPy arrays of that type."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype, copy=False), tree)


def taken_apart(params: Params) -> tuple[list[Any], list[Any], list[Any]]:
    """Split the parameters into matrices (coefs_), biases (intercepts_) and other leaves."""
    parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for name, leaf in named_leaves(params):
        parts[{"W": 0, "b": 1}.get(name, 2)].append(leaf)
    return parts


def put_together(
    specification: Specification,
    matrices: Sequence[Any],
    biases: Sequence[Any],
    others: Sequence[Any],
) -> Any:
    """Invert `taken_apart`.

    InputError for a part whose shape does not fit the network.
    """
    shapes, _ = specification.shapes
    sources = {"W": iter(matrices), "b": iter(biases)}
    rest = iter(others)
    leaves = []
    for name, leaf in named_leaves(shapes):
        found = next(sources.get(name, rest))
        if np.shape(found) != leaf.shape:
            raise InputError(
                f"The network needs weights of shape {leaf.shape}, but has {np.shape(found)}."
            )
        leaves.append(found)
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
