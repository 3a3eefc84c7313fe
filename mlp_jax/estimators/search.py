"""`MLPSearchCV`: scikit-learn's grid search, candidates of a shape and all folds as one program.

The search is scikit-learn's own, over the real rows and the real estimators. Before it goes over
the candidates, those that can train together do; their fits then take up what was trained.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import check_random_state, indexable

from mlp_jax.errors import InputError
from mlp_jax.estimators.base import BaseMLP
from mlp_jax.estimators.candidates import (
    Candidate,
    Fold,
    Search,
    Trained,
    converged,
    pieces,
    threads_for,
    together,
    train_pieces,
)
from mlp_jax.estimators.frames import has_words, is_frame
from mlp_jax.estimators.shelf import Shelf, offered


class _Given(NamedTuple):
    """The rows of a search under way, and what goes to the estimators' fits and to the splits."""

    X: Any
    y: Any
    fit_params: Any
    split_params: Any


class _Folds:
    """Splits that are known."""

    def __init__(self, folds: Sequence[Fold]) -> None:
        self._folds = folds

    def split(self, *_: Any, **__: Any) -> Sequence[Fold]:
        """Return the splits, whatever the rows."""
        return self._folds


class MLPSearchCV(GridSearchCV):
    """A search over parameters by cross-validation, as `GridSearchCV` has it, for our estimators.

    The candidates that differ in numbers alone (learning_rate_init, alpha, decays of the moments,
    tol, …) train at once on every fold; the others one by one. Each comes out as its own `fit` on
    the fold would have it, so `cv_results_` are those of `GridSearchCV` but for the times: of a
    candidate trained with others, `mean_fit_time` is that of taking it up.

    param_grid: as there.  n_iter: draw so many candidates from param_grid, lists or distributions,
    with random_state, as `RandomizedSearchCV` does; None takes all of the grid.  n_jobs: pieces at
    once on a CPU; None takes all cores.  pre_dispatch: accepted as there, without effect.
    """

    cv: Any
    n_jobs: Any

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
        pre_dispatch: Any = "2*n_jobs",
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
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.n_iter = n_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> "MLPSearchCV":
        """Train and judge all candidates, and refit the best one on all rows.

        X (N, I), y (N,) or (N, C), sample_weight (N,) as the estimator takes them; groups for `cv`.
        As in `GridSearchCV`, sample_weight goes to the scores too where the scorer takes it, and
        with metadata routing enabled all of them go to whoever requested them.
        """
        if not isinstance(self.estimator, BaseMLP):
            raise InputError(
                "MLPSearchCV searches over this project's MLPClassifier and MLPRegressor, not over"
                f" {type(self.estimator).__name__}; GridSearchCV takes any estimator."
            )
        X, y = indexable(X, y)
        cv = self.cv
        self._given = _Given(X, y, {}, {})
        try:
            if isinstance(cv, Iterable) and not isinstance(cv, str) and not hasattr(cv, "split"):
                self.cv = list(cv)  # which is looked at twice
            with self._in_this_process():
                super().fit(X, y, **params)
        finally:
            self.cv = cv
            del self._given
        return self

    def _in_this_process(self) -> AbstractContextManager[Any]:
        """Keeps the fits where what was trained together is, if n_jobs would spread them."""
        if joblib.effective_n_jobs(self.n_jobs) == 1:
            return nullcontext()
        return joblib.parallel_config(backend="sequential")

    def _get_routed_params_for_fit(self, params: dict[str, Any]) -> Any:
        routed = super()._get_routed_params_for_fit(params)
        self._given = self._given._replace(
            fit_params=routed.estimator.fit, split_params=routed.splitter.split
        )
        return routed

    def _run_search(self, evaluate_candidates: Callable[..., Any], **options: Any) -> None:
        """Train what can train together, and let scikit-learn's search find it trained.

        options: `callback_ctx`, from scikit-learn 1.9.
        """
        candidates = self._candidates()
        splitter = check_cv(self.cv, self._given.y, classifier=is_classifier(self.estimator))
        folds = list(splitter.split(self._given.X, self._given.y, **self._given.split_params))
        context = options.get("callback_ctx")
        if context is not None:
            context = context.subcontext(
                task_name="search",
                max_subtasks=len(candidates) * len(folds),
                sequential_subtasks=False,
            ).call_on_fit_task_begin(estimator=self)
            options = {"callback_ctx": context}
        given = self._given
        search = Search(
            self.estimator, candidates, given.X, given.y, given.fit_params.get("sample_weight"),
            folds,
        )  # fmt: skip
        with offered(Shelf(search, self._trained(search, given.fit_params))):
            evaluate_candidates(candidates, cv=_Folds(folds), **options)
        if context is not None:
            context.call_on_fit_task_end(estimator=self)

    def _candidates(self) -> list[Candidate]:
        """The candidates in scikit-learn's order."""
        if self.n_iter is None:
            return list(ParameterGrid(self.param_grid))
        random = check_random_state(self.random_state)
        return list(ParameterSampler(self.param_grid, self.n_iter, random_state=random))

    def _trained(self, search: Search, fit_params: Any) -> list[Trained]:
        """What can train together, trained."""
        numbers = isinstance(search.x, np.ndarray) or (
            is_frame(search.x) and not has_words(search.x)
        )
        if not numbers or search.y is None or fit_params.keys() - {"sample_weight"}:
            return []
        groups = together(self.estimator, search.candidates, len(search.x))
        rates = [
            float(candidate.get("learning_rate_init", self.estimator.learning_rate_init))
            for candidate in search.candidates
        ]
        chosen = list(pieces(groups, rates, len(search.folds)))
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
