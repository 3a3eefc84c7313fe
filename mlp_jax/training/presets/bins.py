"""Where the bins of a number lie: at the thresholds of a decision tree that sees it alone.

Gorishniy 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", §3.2, target-aware
bins: narrow where the target changes quickly, wide where it does not. Quantiles, its other bins,
leave a number that is 0 for nine rows in ten with hardly any.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Shaped

from mlp_jax.model.metrics import Task

Edges = tuple[tuple[float, ...], ...]


def tree_edges(
    x: Float[np.ndarray, "N G"],
    y: Shaped[np.ndarray, "N ..."],
    task: Task,
    *,
    bins: int,
    rows_a_bin: int,
) -> Edges:
    """The edges of at most `bins` bins of each feature, from its least to its greatest value.

    y: labels, or what is to be predicted. rows_a_bin: a bin holds at least so many training rows. A
    feature that is the same everywhere has one bin, of width 1.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    Tree = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    tree = Tree(max_leaf_nodes=max(bins, 2), min_samples_leaf=rows_a_bin, random_state=0)
    return tuple(_edges(tree, x[:, [g]], y) for g in range(x.shape[1]))


def _edges(tree: object, x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """Those of one feature, distinct in float32, in which the network will see them."""
    low, high = float(x.min()), float(x.max())
    if low == high:
        return (low, low + 1)
    found = tree.fit(x, y).tree_  # type: ignore[attr-defined]
    inner = np.unique(found.threshold[found.feature >= 0]).astype(np.float32)
    edges = np.unique(np.asarray([low, *inner[(inner > low) & (inner < high)], high], np.float32))
    assert all(a < b for a, b in pairwise(edges))
    return tuple(map(float, edges))
