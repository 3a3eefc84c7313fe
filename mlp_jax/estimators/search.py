"""`MLPSearchCV`: scikit-learn's grid search, with candidates and folds trained in one program.

The search is scikit-learn's own, over the real rows and estimators. Before it evaluates the
candidates, those that can train together do; their fits then reuse the results.
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

from mlp_jax.backprop.specification import Params
from mlp_jax.errors import InputError
from mlp_jax.estimators.base import BaseMLP
from mlp_jax.estimators.candidates import (
    Candidate,
    Fold,
    Search,
    TrainedCandidate,
    converged,
    fold_groups,
    threads_for,
    together,
    train_groups,
)
from mlp_jax.estimators.frames import has_words, is_frame
from mlp_jax.estimators.pretrained import PretrainedCache, use_pretrained


class _Given(NamedTuple):
    """Rows of a search in progress, and the arguments for the fits and the splits."""

    X: Any
    y: Any
    fit_params: Any
    split_params: Any


class _Folds:
    """Precomputed splits."""

    def __init__(self, folds: Sequence[Fold]) -> None:
        self._folds = folds

    def split(self, *_: Any, **__: Any) -> Sequence[Fold]:
        """Return the splits, whatever the rows."""
        return self._folds


class MLPSearchCV(GridSearchCV):
    """Cross-validated search over parameters, like `GridSearchCV`, for these estimators.

    Candidates that differ only in numbers (learning_rate_init, alpha, decays of the moments, tol,
    …) train at once on every fold, the others separately. Each result equals that of a separate
    `fit` on the fold, so `cv_results_` are those of `GridSearchCV` except for the times: the
    `mean_fit_time` of a candidate trained with others is the time to copy its result.

    Args:
        estimator: an `MLPClassifier` or `MLPRegressor`.
        param_grid: as in `GridSearchCV`.
        n_iter: draw this many candidates from param_grid, lists or distributions, as
            `RandomizedSearchCV` does; None uses the whole grid.
        random_state: of the drawing.
        n_jobs: groups at once on a CPU; None uses all cores.
        pre_dispatch: accepted for compatibility, without effect.
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

    def fit(self, X: Any, y: Any = None, **params: Params) -> "MLPSearchCV":
        """Train and evaluate all candidates, and refit the best one on all rows.

        As in `GridSearchCV`, sample_weight is passed to the scorer too if it accepts one, and with
        metadata routing enabled every argument goes to the objects that requested it.

        Args:
            X: rows (N, I).
            y: targets (N,) or (N, C).
            **params: sample_weight (N,) and other fit parameters; groups for `cv`.

        Returns:
            The search.
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
        """Keep the fits in this process, with the trained candidates, whatever n_jobs is."""
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
        """Train the candidates that can train together, then run scikit-learn's search over all.

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
            estimator=self.estimator, candidates=candidates, x=given.X, y=given.y,
            weights=given.fit_params.get("sample_weight"), folds=folds,
        )  # fmt: skip
        with use_pretrained(PretrainedCache(search, self._trained(search, given.fit_params))):
            evaluate_candidates(candidates, cv=_Folds(folds), **options)
        if context is not None:
            context.call_on_fit_task_end(estimator=self)

    def _candidates(self) -> list[Candidate]:
        """List the candidates in scikit-learn's order."""
        if self.n_iter is None:
            return list(ParameterGrid(self.param_grid))
        random = check_random_state(self.random_state)
        return list(ParameterSampler(self.param_grid, self.n_iter, random_state=random))

    def _trained(self, search: Search, fit_params: Any) -> list[TrainedCandidate]:
        """Train the candidates that can train together."""
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
        chosen = list(fold_groups(groups, rates, len(search.folds)))
        if not chosen:
            return []
        found = train_groups(search, chosen, threads_for(self.n_jobs))
        unfinished = sum(not converged(one.estimator) for one in found)
        if unfinished:
            warnings.warn(
                f"{unfinished} of the {len(found)} networks reached max_iter before converging.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return found
