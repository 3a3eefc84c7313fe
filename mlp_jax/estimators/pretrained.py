"""Cache of estimators that a search has trained together, for the fits that would train them.

Inside `use_pretrained(cache)` the `fit` of an estimator with the parameters, rows, targets and
weights of a cached one copies its result and trains nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from mlp_jax.estimators.candidates import Search, TrainedCandidate

_CHUNK = 1 << 14  # rows compared at a time


class PretrainedCache:
    """Trained estimators of a search, found by their parameters and training rows."""

    def __init__(self, search: Search, trained: Sequence[TrainedCandidate]) -> None:
        self._search = search
        self._by_params: dict[str, list[TrainedCandidate]] = {}
        for one in trained:
            self._by_params.setdefault(_key(one.estimator), []).append(one)

    def find(self, estimator: Any, X: Any, y: Any, weights: Any) -> Any:
        """Return the estimator with these parameters that was trained on these rows, or None."""
        for one in self._by_params.get(_key(estimator), []):
            rows = self._search.rows(one.fold)
            same = _equal(weights, self._search.weights, rows) and _equal(y, self._search.y, rows)
            if same and _equal(X, self._search.x, rows):
                return one.estimator
        return None


_cache: ContextVar[PretrainedCache | None] = ContextVar("pretrained_cache", default=None)


@contextmanager
def use_pretrained(cache: PretrainedCache) -> Iterator[None]:
    """Make fits in this thread use the cache."""
    token = _cache.set(cache)
    try:
        yield
    finally:
        _cache.reset(token)


def adopt_pretrained(estimator: Any, X: Any, y: Any, weights: Any) -> bool:
    """Copy a cached result for these rows into the estimator; return True if there was one."""
    cache = _cache.get()
    found = None if cache is None else cache.find(estimator, X, y, weights)
    if found is None:
        return False
    own = estimator.get_params(deep=False)
    estimator.__dict__.update({k: v for k, v in vars(found).items() if k not in own})
    return True


def _key(estimator: Any) -> str:
    return f"{type(estimator).__name__}{sorted(estimator.get_params(deep=False).items())!r}"


def _equal(part: Any, whole: Any, rows: np.ndarray) -> bool:
    """Return True if `part` equals these rows of `whole`."""
    if part is None or whole is None:
        return part is whole
    if type(part) is not type(whole) or len(part) != len(rows):
        return False
    if hasattr(whole, "equals"):
        return bool(part.equals(_safe_indexing(whole, rows)))
    whole, part = np.asarray(whole), np.asarray(part)
    return part.dtype == whole.dtype and all(
        np.array_equal(part[start : start + _CHUNK], whole[rows[start : start + _CHUNK]])
        for start in range(0, len(rows), _CHUNK)
    )
