"""What goes into a search reaches scorers, splits and fits as it does in `GridSearchCV`."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse import csr_matrix
from scipy.stats import loguniform
from search_cases import assert_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.neural_network import MLPClassifier as ScikitClassifier
from sklearn.neural_network import MLPRegressor as ScikitRegressor

from mlp_jax.estimators import MLPClassifier, MLPRegressor, MLPSearchCV

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::mlp_jax.DataWarning"),
]
N = 90
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
FRAME = pd.DataFrame(X, columns=list("abc"))
Y = np.arange(N) % 3
WEIGHTS = np.arange(N) + 1.0
GROUPS = np.arange(N) // 9
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0}
BOTH = ((MLPSearchCV, MLPClassifier), (GridSearchCV, ScikitClassifier))
GRID = {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-1]}


def both(X=X, y=Y, fit=None, grid=GRID, **options):
    """(our search, scikit-learn's) over the same grid."""
    options = {"cv": 3, "return_train_score": True, **options}
    cv = options.pop("cv")
    found = []
    for search, estimator in BOTH:
        own = cv() if callable(cv) else cv
        found.append(search(estimator(**SMALL), grid, cv=own, **options).fit(X, y, **(fit or {})))
    assert_equal(*found)
    return found


class Seen:
    """A scorer that notes what it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, estimator, X, y):
        self.given.append((X, y, estimator))
        weights = np.abs(np.asarray(X.todense() if hasattr(X, "todense") else X))[:, 1]
        return float(((estimator.predict(X) == y) * weights).sum() + estimator.loss_)


@pytest.mark.parametrize(
    "rows",
    [
        X,
        X.astype(np.float32),
        FRAME,
        X.tolist(),
        csr_matrix(X),
        pl.from_numpy(X, list("abc")),
    ],
    ids=["float64", "float32", "pandas", "list", "sparse", "polars"],
)
def test_a_scorer_is_given_the_rows_themselves_and_the_fitted_estimator(rows):
    ours, theirs = Seen(), Seen()
    for search, estimator, scorer in (
        (MLPSearchCV, MLPClassifier, ours), (GridSearchCV, ScikitClassifier, theirs),
    ):  # fmt: skip
        search(
            estimator(**SMALL), GRID, cv=3, scoring=scorer, error_score="raise",
            return_train_score=True,
        ).fit(rows, Y)  # fmt: skip
    assert len(ours.given) == len(theirs.given) == 4 * 3 * 2
    for (x, y, one), (x_there, y_there, other) in zip(ours.given, theirs.given, strict=True):
        assert type(x) is type(x_there)
        assert type(one) is MLPClassifier
        dense = [np.asarray(v.todense() if hasattr(v, "todense") else v) for v in (x, x_there)]
        np.testing.assert_array_equal(*dense)
        np.testing.assert_array_equal(y, y_there)
        tolerance = 1e-5 if getattr(rows, "dtype", None) == np.float32 else 1e-12
        assert one.loss_ == pytest.approx(other.loss_, abs=tolerance)
        np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], atol=tolerance * 10)
        assert one.n_iter_ == other.n_iter_
        assert one.alpha == other.alpha
        assert one.classes_.tolist() == other.classes_.tolist()
        names = getattr(one, "feature_names_in_", np.array([])).tolist()
        assert names == getattr(other, "feature_names_in_", np.array([])).tolist()


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS.tolist(), pd.Series(WEIGHTS)], ids=type)
@pytest.mark.parametrize("rows", [X, FRAME], ids=["array", "frame"])
def test_weights_count_in_the_scores(rows, weights):
    ours, _ = both(rows, fit={"sample_weight": weights})
    plain, _ = both(rows)
    assert not np.allclose(
        ours.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


def test_weights_count_in_the_scores_of_numbers():
    y = X @ [1.0, 2.0, 3.0]
    found = [
        search(estimator(**SMALL), GRID, cv=3).fit(X, y, sample_weight=WEIGHTS)
        for search, estimator in ((MLPSearchCV, MLPRegressor), (GridSearchCV, ScikitRegressor))
    ]
    assert_equal(*found)


def test_a_scorer_that_takes_no_weights_is_warned_of_in_scikit_learns_words():
    def plain(estimator, X, y):
        return estimator.score(X, y)

    said = []
    for search, estimator in BOTH:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search(estimator(**SMALL), GRID, cv=3, scoring=plain).fit(X, Y, sample_weight=WEIGHTS)
        texts = [str(one.message) for one in caught]
        said.append([text for text in texts if "does not support sample_weight" in text])
    assert len(said[0]) == len(said[1]) == 1
    assert "fitting MLPSearchCV(" in said[0][0]


@pytest.mark.parametrize("requested", [True, False, "importance"])
def test_routed_metadata_reach_who_requested_them(requested):
    given = {"w": WEIGHTS, "groups": GROUPS}
    if requested:
        given |= {"sample_weight" if requested is True else requested: WEIGHTS[::-1]}
    found = []
    with sklearn.config_context(enable_metadata_routing=True):
        for search, estimator in BOTH:
            scorer = make_scorer(accuracy_score).set_score_request(sample_weight=requested)
            one = estimator(**SMALL).set_fit_request(sample_weight="w")
            searched = search(one, GRID, cv=GroupKFold(3), scoring=scorer)
            found.append(searched.fit(X, Y, **given))
    assert_equal(*found)


def test_metadata_that_nobody_requested_are_refused():
    with sklearn.config_context(enable_metadata_routing=True):
        for search, estimator in BOTH:
            with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
                search(estimator(**SMALL), GRID, cv=3).fit(X, Y, sample_weight=WEIGHTS)


SPLITS = {
    "an iterable": lambda: ((np.flatnonzero(k != Y), np.flatnonzero(k == Y)[::2]) for k in (0, 1)),
    "a list": [(np.arange(60), np.arange(60, 90)), (np.arange(30, 90), np.arange(30))],
    "masks": [(np.arange(N) % 2 == 0, np.arange(N) % 2 == 1)],
    "a predefined split": PredefinedSplit(np.arange(N) % 4 - 1),
    "a draw": lambda: ShuffleSplit(3, random_state=np.random.RandomState(7)),
    "an unseeded number": None,
}


@pytest.mark.parametrize("cv", SPLITS.values(), ids=SPLITS)
def test_rows_are_split_as_by_scikit_learn(cv):
    both(cv=cv)


@pytest.mark.parametrize("cv", [GroupKFold(3), LeaveOneGroupOut()])
def test_groups_reach_the_split(cv):
    both(cv=cv, fit={"groups": GROUPS})


def _several(estimator, X, y):
    p = estimator.predict(X)
    return {"accuracy": accuracy_score(y, p), "worst": f1_score(y, p, average=None).min()}


@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        ("f1_macro", True),
        (["accuracy", "f1_macro"], "f1_macro"),
        ({"a": "accuracy", "b": make_scorer(f1_score, average="micro")}, False),
        (_several, "worst"),
        ("accuracy", lambda results: int(np.argmin(results["mean_test_score"]))),
        (["accuracy", "neg_log_loss"], lambda results: 1),
    ],
    ids=["f1", "a list", "a dict", "a callable", "a choice", "a choice of several"],
)
@pytest.mark.parametrize("fit", [{}, {"sample_weight": WEIGHTS}], ids=["plain", "weighted"])
@pytest.mark.filterwarnings("ignore:The scoring.*does not support sample_weight")
def test_scores_and_choices_are_those_of_scikit_learn(scoring, refit, fit):
    ours, theirs = both(scoring=scoring, refit=refit, fit=fit)
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if refit:
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    if isinstance(refit, str) or isinstance(scoring, str):
        assert ours.score(X, Y) == pytest.approx(theirs.score(X, Y))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("error_score", [np.nan, -1.0])
def test_a_candidate_that_fails_has_the_error_score(error_score):
    grid = {"solver": ["sgd"], "learning_rate_init": [1e-2, 1e300]}
    ours, _ = both(grid=grid, error_score=error_score)
    assert ours.best_index_ == 0
    for search, estimator in BOTH:
        with pytest.raises(ValueError, match="non-finite"):
            search(estimator(**SMALL), grid, cv=3, error_score="raise").fit(X, Y)


def test_several_grids_leave_gaps_where_scikit_learn_does():
    both(grid=[{"alpha": [1e-3, 1.0]}, {"solver": ["lbfgs"], "activation": ["tanh", "relu"]},
               {"hidden_layer_sizes": [(4,), (3, 3)], "batch_size": ["auto", 32]}])  # fmt: skip


def test_candidates_drawn_from_distributions_are_those_of_a_randomized_search():
    grid = {"alpha": loguniform(1e-5, 1.0), "momentum": [0.1, 0.9]}
    options = {"n_iter": 5, "random_state": 3, "cv": 3}
    ours = MLPSearchCV(MLPClassifier(**SMALL, solver="sgd"), grid, **options)
    theirs = RandomizedSearchCV(ScikitClassifier(**SMALL, solver="sgd"), grid, **options)
    assert_equal(ours.fit(X, Y), theirs.fit(X, Y))


def test_labels_of_text_are_searched_over_too():
    both(y=np.array(["red", "green", "blue"])[Y], scoring="f1_macro")


@pytest.mark.parametrize("scoring", [None, "accuracy", ["accuracy", "f1_macro"]])
def test_a_fitted_search_pickles_without_its_rows(scoring):
    rows = np.random.default_rng(1).normal(size=(3000, 5))
    options = {"cv": 3, "scoring": scoring, "refit": "accuracy" if scoring else True}
    sizes = []
    for search, estimator in BOTH:
        fitted = search(estimator(**SMALL), {"alpha": [1e-4, 1.0]}, **options)
        fitted.fit(rows, np.arange(3000) % 3, sample_weight=np.ones(3000))
        sizes.append(len(pickle.dumps(fitted)))
    assert sizes[0] < sizes[1] + 5000 < rows.nbytes / 2
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(rows), fitted.predict(rows))


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_fits_stay_in_the_process_whatever_the_number_of_jobs(n_jobs, monkeypatch):
    alone, fit = [], MLPClassifier._fit
    monkeypatch.setattr(
        MLPClassifier,
        "_fit",
        lambda self, *rest, **more: alone.append(1) or fit(self, *rest, **more),
    )
    search = MLPSearchCV(MLPClassifier(**SMALL), GRID, cv=3, n_jobs=n_jobs).fit(X, Y)
    assert_equal(search, GridSearchCV(ScikitClassifier(**SMALL), GRID, cv=3).fit(X, Y))
    assert len(alone) == 1


def test_the_search_and_its_estimator_are_left_as_they_were():
    one = MLPClassifier(**SMALL)
    search = MLPSearchCV(one, GRID, cv=3)
    before = vars(search).copy()
    search.fit(X, Y)
    assert {name: vars(search)[name] for name in before} == before
    assert search.estimator is one
    assert not hasattr(one, "coefs_")
    assert clone(search).get_params()["cv"] == 3


def test_a_scorer_that_fits_a_clone_gets_a_fit_of_its_own():
    seen = []

    def refitting(estimator, X, y):
        again = clone(estimator).set_params(max_iter=2).fit(X, y)
        seen.append((again.n_iter_, estimator.n_iter_))
        return again.score(X, y)

    both(scoring=refitting)
    assert set(seen) == {(2, 4)}
