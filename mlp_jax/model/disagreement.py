"""Disagreement of an ensemble's members on each row.

Letters: N rows, M members, C classes or outputs.
"""

import numpy as np
from jaxtyping import Float


def between_classes(p: Float[np.ndarray, "M N C"]) -> Float[np.ndarray, " N"]:
    """Return H(p̄) − mean H(pₘ) in nats: the entropy of the mean minus the mean entropy.

    The mutual information of prediction and member (Houlsby 2011; Lakshminarayanan 2017): 0 if all
    agree, at most log C.
    """
    each = p.astype(np.float64)
    return np.maximum(_entropy(each.mean(axis=0)) - _entropy(each).mean(axis=0), 0.0)


def between_labels(p: Float[np.ndarray, "M N C"]) -> Float[np.ndarray, " N"]:
    """Return `between_classes` of independent binary outputs, averaged over them."""
    each = p.astype(np.float64)
    pairs = np.stack([each, 1 - each], axis=-1)
    found = np.maximum(_entropy(pairs.mean(axis=0)) - _entropy(pairs).mean(axis=0), 0.0)
    return found.mean(axis=-1)


def between_values(values: Float[np.ndarray, "M N C"]) -> Float[np.ndarray, " N"]:
    """Return the standard deviation over members, averaged over outputs."""
    return values.astype(np.float64).std(axis=0).mean(axis=-1)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Return −Σ p log p over the last axis, with 0 log 0 = 0."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
