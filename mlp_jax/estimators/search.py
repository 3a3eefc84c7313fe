"""`MLPSearchCV`: scikit-learn's grid search, candidates of a shape and all folds as one program.

The networks are trained first, together; then scikit-learn's own search goes over the candidates
and finds them trained, so that scores, ranks and what is refitted are by its own code.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.metaestimators import available_if

from mlp_jax.errors import InputError
from mlp_jax.estimators.base import BaseMLP
from mlp_jax.estimators.candidates import (
    Candidate,
    Search,
    Trained,
    converged,
    pieces,
    threads_for,
    together,
    train_pieces,
)


class MLPSearchCV(GridSearchCV):
    """A search over parameters by cross-validation, as `GridSearchCV` has it, for our estimators.

    The candidates that differ in numbers alone (learning_rate_init, alpha, decays of the moments,
    tol, …) train at once on every fold; the others one by one. Each comes out as its own `fit` on
    the fold would have it, so `cv_results_` are those of `GridSearchCV` but for the times: of a
    candidate trained with others, `mean_fit_time` is that of taking it up.

    param_grid: as there.  n_iter: draw so many candidates from param_grid, lists or distributions,
    with random_state, as `RandomizedSearchCV` does; None takes all of the grid.  n_jobs: pieces at
    once on a CPU; None takes all cores.
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        n_iter: Any = None,
        scoring: Any = None,
        n_jobs: Any = None,
        refit: Any = True,
        cv: Any = None,
        verbose: Any = 0,
        error_score: Any = np.nan,
        return_train_score: Any = False,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.n_iter = n_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, groups: Any = None, **fit_params: Any) -> "MLPSearchCV":
        """Trains and judges all candidates, and refits the best one on all rows.

        X (N, I), y (N,) or (N, C), and sample_weight (N,) among `fit_params`, as the estimator
        takes them. groups: for `cv`.
        """
        if not isinstance(self.estimator, BaseMLP):
            raise InputError(
                "MLPSearchCV searches over this project's MLPClassifier and MLPRegressor, not over"
                f" {type(self.estimator).__name__}; GridSearchCV takes any estimator."
            )
        X, y = indexable(X, y)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        folds = list(splitter.split(X, y, groups))
        candidates = self._candidates()
        shelf = Shelf(X, fit_params)
        shelf.fill(self._trained(X, y, fit_params, candidates, folds), candidates, folds)
        found = GridSearchCV(
            TakenUp(clone(self.estimator), shelf),
            [{name: [value] for name, value in candidate.items()} for candidate in candidates],
            scoring=self.scoring,
            refit=self.refit,
            cv=folds,
            verbose=self.verbose,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
        )
        found.fit(np.arange(_rows(X)).reshape(-1, 1), y)
        for name, value in vars(found).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(self, name, value)
        self.n_splits_ = len(folds)
        if self.refit:
            self.best_estimator_ = found.best_estimator_.estimator
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _candidates(self) -> list[Candidate]:
        """The candidates in scikit-learn's order."""
        if self.n_iter is None:
            return list(ParameterGrid(self.param_grid))
        random = check_random_state(self.random_state)
        return list(ParameterSampler(self.param_grid, self.n_iter, random_state=random))

    def _trained(
        self,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        candidates: Sequence[Candidate],
        folds: Sequence[Any],
    ) -> list[Trained]:
        """What can train together, trained."""
        if not isinstance(X, np.ndarray) or y is None or fit_params.keys() - {"sample_weight"}:
            return []
        weights = fit_params.get("sample_weight")
        y, weights = np.asarray(y), None if weights is None else np.asarray(weights)
        search = Search(self.estimator, candidates, X, y, weights, folds)
        groups = together(self.estimator, candidates, len(X))
        rates = [
            float(candidate.get("learning_rate_init", self.estimator.learning_rate_init))
            for candidate in candidates
        ]
        chosen = list(pieces(groups, rates, len(folds)))
        if not chosen:
            return []
        found = train_pieces(search, chosen, threads_for(self.n_jobs))
        unfinished = sum(not converged(one.estimator) for one in found)
        if unfinished:
            warnings.warn(
                f"{unfinished} of the {len(found)} networks had reached the maximum of their"
                " iterations before their losses stood still.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return found


def _rows(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def _taken(X: Any, rows: np.ndarray) -> Any:
    """Some rows of an array, a sparse matrix, a list or a frame."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "shape"):
        return X.tocsr()[rows] if scipy.sparse.issparse(X) else X[rows]
    return [X[row] for row in rows]


class Shelf:
    """The real rows, and the estimators that are trained, by candidate and fold."""

    def __init__(self, X: Any, fit_params: dict[str, Any]) -> None:
        self.X, self.fit_params = X, fit_params
        self._trained: dict[tuple[str, bytes], Any] = {}

    def fill(self, trained: Sequence[Trained], candidates: Any, folds: Any) -> None:
        """Puts the trained ones where `find` finds them."""
        for candidate, fold, estimator in trained:
            key = joblib.hash(dict(candidates[candidate])), _key(folds[fold][0])
            self._trained[key] = estimator

    def find(self, candidate: Candidate, rows: np.ndarray) -> Any:
        """The estimator of a candidate trained on these rows, or None."""
        return self._trained.get((joblib.hash(dict(candidate)), _key(rows)))

    def rows(self, index: np.ndarray) -> Any:
        """The real rows that a column of numbers stands for."""
        return _taken(self.X, np.asarray(index).ravel())


def _key(rows: np.ndarray) -> bytes:
    return np.asarray(rows, np.int64).tobytes()


class TakenUp(BaseEstimator):
    """An estimator over the numbers of rows, whose `fit` takes up what is on the shelf."""

    def __init__(self, estimator: Any, shelf: Shelf) -> None:
        self.estimator = estimator
        self.shelf = shelf
        self._candidate: dict[str, Any] = {}

    def __sklearn_clone__(self) -> "TakenUp":
        """A new estimator with the same shelf, which is not copied."""
        return TakenUp(clone(self.estimator), self.shelf)

    def set_params(self, **candidate: Any) -> "TakenUp":
        """The candidate that it becomes."""
        self._candidate = candidate
        self.estimator.set_params(**candidate)
        return self

    def fit(self, index: np.ndarray, y: Any) -> "TakenUp":
        """Takes up the trained estimator of this candidate and these rows, or trains it."""
        rows = np.asarray(index).ravel()
        found = self.shelf.find(self._candidate, rows)
        if found is not None:
            self.estimator = found
            return self
        given = {
            name: _taken(np.asarray(value), rows) for name, value in self.shelf.fit_params.items()
        }
        self.estimator.fit(self.shelf.rows(index), y, **given)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The estimator's."""
        return self.estimator.classes_

    def predict(self, index: np.ndarray) -> np.ndarray:
        """The estimator's prediction of these rows."""
        return self.estimator.predict(self.shelf.rows(index))

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, index: np.ndarray) -> np.ndarray:
        """The estimator's probabilities of these rows."""
        return self.estimator.predict_proba(self.shelf.rows(index))

    @available_if(lambda self: hasattr(self.estimator, "predict_log_proba"))
    def predict_log_proba(self, index: np.ndarray) -> np.ndarray:
        """The logarithms of them."""
        return self.estimator.predict_log_proba(self.shelf.rows(index))

    def score(self, index: np.ndarray, y: Any) -> float:
        """The estimator's own score on these rows."""
        return self.estimator.score(self.shelf.rows(index), y)

    def __sklearn_tags__(self) -> Any:
        return self.estimator.__sklearn_tags__()
