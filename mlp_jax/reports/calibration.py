"""Calibration of probabilities: bins of a reliability diagram.

Letters: N predictions, B bins.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

N_BINS = 15


class Reliability(NamedTuple):
    """B bins of equal width over [0, 1]; mean confidence and accuracy of an empty one are NaN.

    ece: Σ_b n_b/N |right_b − confidence_b| (Naeini 2015; Guo 2017, eq. 5).
    """

    counts: Int[np.ndarray, " B"]
    confidence: Float[np.ndarray, " B"]
    right: Float[np.ndarray, " B"]
    ece: float


def reliability(
    confidence: Float[np.ndarray, " N"], right: Bool[np.ndarray, " N"], n_bins: int = N_BINS
) -> Reliability:
    """Bin predictions by their confidence in [0, 1] and compute the accuracy of each bin.

    A bin includes its upper edge, not its lower; the first includes 0 too.
    """
    confidence = np.asarray(confidence, np.float64)
    place = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    counts = np.bincount(place, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, n_bins) / counts
        share = np.bincount(place, np.asarray(right, np.float64), n_bins) / counts
    gaps = np.abs(share - mean)[counts > 0] * counts[counts > 0]
    return Reliability(counts, mean, share, float(gaps.sum() / max(counts.sum(), 1)))
