"""Errors of predictions, and how the methods compare over many sets."""

from collections.abc import Mapping, Sequence

import numpy as np

Results = Mapping[str, Mapping[str, Mapping[str, float]]]  # set, contender, measure


def measure(
    task: str, predicted: np.ndarray, y: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """Return the errors of predictions, by scikit-learn; `error` is the one that is ranked.

    Args:
        task: classification or regression.
        predicted: probabilities (N, C) or numbers (N,).
        y: labels or numbers of the test rows (N,).
        classes: the C classes, sorted.

    Returns:
        error (1 − accuracy, or the root of the mean squared error), log_loss and auc (mean over
        pairs of classes), or r2.
    """
    from sklearn.metrics import log_loss, r2_score, roc_auc_score

    if task == "regression":
        error = float(np.sqrt(np.mean((predicted - y) ** 2)))
        return {"error": error, "r2": float(r2_score(y, predicted))}
    codes = np.searchsorted(np.asarray(classes), y)
    probabilities = np.clip(predicted, 1e-7, 1.0)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    several = len(classes) > 2
    scores = probabilities if several else probabilities[:, 1]
    kind = {"multi_class": "ovo", "labels": np.arange(len(classes))} if several else {}
    auc = roc_auc_score(codes, scores, **kind) if len(np.unique(codes)) == len(classes) else np.nan
    return {
        "error": float(np.mean(predicted.argmax(axis=1) != codes)),
        "log_loss": float(log_loss(codes, probabilities, labels=np.arange(len(classes)))),
        "auc": float(auc),
    }


def floored(error: float, n_test: int, task: str) -> float:
    """Return the error, at least half a mistake on the test rows, so that ratios exist."""
    return max(error, 0.5 / n_test) if task == "classification" else max(error, 1e-12)


def mean_ranks(errors: np.ndarray) -> np.ndarray:
    """Return the mean rank (K,) of K methods from errors (sets, K); equals share ranks."""
    from scipy.stats import rankdata

    return rankdata(errors, axis=1).mean(axis=0)


def relative(errors: np.ndarray, to: np.ndarray | None = None) -> np.ndarray:
    """Return the geometric mean (K,) of errors (sets, K) relative to the best or to `to`."""
    base = errors.min(axis=1) if to is None else to
    return np.exp(np.log(errors / base[:, None]).mean(axis=0))
