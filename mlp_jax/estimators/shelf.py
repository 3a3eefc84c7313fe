"""Estimators that a search has trained together, taken up by the fits that would train them.

Inside `offered(shelf)` the `fit` of an estimator with the parameters, rows, targets and weights of
one that is there leaves what that one learned, and trains nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from mlp_jax.estimators.candidates import Search, Trained

_CHUNK = 1 << 14  # rows compared at a time


class Shelf:
    """The trained estimators of a search, found by their parameters and their training rows."""

    def __init__(self, search: Search, trained: Sequence[Trained]) -> None:
        self._search = search
        self._by_params: dict[str, list[Trained]] = {}
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


_offered: ContextVar[Shelf | None] = ContextVar("offered", default=None)


@contextmanager
def offered(shelf: Shelf) -> Iterator[None]:
    """Let fits in this thread take up what is on the shelf."""
    token = _offered.set(shelf)
    try:
        yield
    finally:
        _offered.reset(token)


def take_up(estimator: Any, X: Any, y: Any, weights: Any) -> bool:
    """Return whether the estimator now is as one that was trained on these rows, if one was."""
    shelf = _offered.get()
    found = None if shelf is None else shelf.find(estimator, X, y, weights)
    if found is None:
        return False
    own = estimator.get_params(deep=False)
    estimator.__dict__.update({k: v for k, v in vars(found).items() if k not in own})
    return True


def _key(estimator: Any) -> str:
    return f"{type(estimator).__name__}{sorted(estimator.get_params(deep=False).items())!r}"


def _equal(part: Any, whole: Any, rows: np.ndarray) -> bool:
    """Whether `part` holds these rows of `whole`, and nothing else."""
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
