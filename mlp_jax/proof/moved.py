"""The point at which a network is checked: perturbed parameters, uneven weights, few examples."""

from typing import Any

import jax
import numpy as np

from mlp_jax.backprop.specification import Params, State

EXAMPLES = 8
DIRECTIONS = 2


def perturbed(tree: Params, rng: np.random.Generator, scale: float = 0.3) -> Any:
    """Add normal noise to the tree: `scale` to vectors, a tenth of their spread to matrices."""

    def moved(leaf: np.ndarray) -> np.ndarray:
        size = scale if leaf.ndim < 2 else 0.1 * float(np.std(leaf)) + 1e-3
        return leaf + size * rng.standard_normal(leaf.shape)

    return jax.tree.map(moved, tree)


def perturbed_state(state: State, rng: np.random.Generator) -> Any:
    """Perturb the running statistics; variances stay positive."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.abs(leaf) + 0.1 if "variance" in str(path[-1]) else leaf,
        perturbed(state, rng),
    )


def in_float64(tree: Params) -> Any:
    """Convert the tree to NumPy arrays of float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def unit_directions(params: Params, rng: np.random.Generator) -> Any:
    """Draw random unit vectors in parameter space, one per row of the leading axis."""
    raw = jax.tree.map(lambda p: rng.standard_normal((DIRECTIONS, *p.shape)), params)
    squares = [np.sum(v**2, axis=tuple(range(1, v.ndim))) for v in jax.tree.leaves(raw)]
    length = np.sqrt(sum(squares))
    return jax.tree.map(lambda v: v / length.reshape(-1, *[1] * (v.ndim - 1)), raw)


def handful(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Select at most `EXAMPLES` examples, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(x) - 1, EXAMPLES).astype(int))
    return np.asarray(x)[chosen], np.asarray(y)[chosen]


def uneven_weights(n: int, coupled: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw uneven c (N,) with zeros, and a mask with a padding row if examples are coupled."""
    weights = rng.uniform(0.2, 1.8, n)
    mask = None
    if n > 2:
        weights[1] = 0
    if coupled and n > 3:
        weights[-1] = 0
        mask = np.arange(n) < n - 1
    return weights / weights.sum(), mask
