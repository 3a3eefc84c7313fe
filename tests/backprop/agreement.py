"""How the tests of the mathematics compare: relative to the size of the expected array."""

from typing import Any

import jax
import numpy as np

TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 1e-2}


def error(ours: Any, expected: Any, size: float = 0.0) -> float:
    """‖ours − expected‖ / max(‖expected‖, size); infinite where the shapes differ."""
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    if ours.shape != expected.shape:
        return np.inf
    away = float(np.linalg.norm(ours - expected))
    return away / max(float(np.linalg.norm(expected)), size) if away else 0.0


def assert_agree(ours: Any, expected: Any, dtype: str = "float64", size: float = 0.0) -> None:
    """Every leaf of `ours` is the leaf of `expected` to the tolerance of `dtype`."""
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(expected), strict=True)
    for (path, mine), theirs in pairs:
        found = error(mine, theirs, size)
        assert found <= TOLERANCE[dtype], f"{jax.tree_util.keystr(path)}: {found:.1e}"
