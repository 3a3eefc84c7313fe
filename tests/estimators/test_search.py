"""`MLPSearchCV` against scikit-learn's `GridSearchCV` over scikit-learn's own estimators."""

import warnings

import numpy as np
import pytest
from search_cases import assert_equal
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, ShuffleSplit
from sklearn.neural_network import MLPClassifier as ScikitClassifier
from sklearn.neural_network import MLPRegressor as ScikitRegressor

from mlp_jax.errors import InputError
from mlp_jax.estimators import MLPClassifier, MLPRegressor, MLPSearchCV, candidates
from mlp_jax.estimators.candidates import Search

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (12,), "batch_size": 64, "max_iter": 6, "random_state": 0}
GRID = {"alpha": [1e-4, 1e-1], "learning_rate_init": [1e-3, 1e-2, 3e-2]}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture
def trained_alone(monkeypatch):
    """How many estimators were fitted one by one."""
    fits, fit = [], MLPClassifier._fit
    monkeypatch.setattr(
        MLPClassifier,
        "_fit",
        lambda self, *rest, **more: fits.append(1) or fit(self, *rest, **more),
    )
    return fits


def both(ours, theirs, grid, X, y, fit=None, **options):
    """(our search, scikit-learn's) over the same grid."""
    return (
        MLPSearchCV(ours, grid, **options).fit(X, y, **(fit or {})),
        GridSearchCV(theirs, grid, **options).fit(X, y, **(fit or {})),
    )


def test_the_results_are_those_of_a_grid_search_over_scikit_learns_classifier(
    digits, trained_alone
):
    ours, theirs = both(
        MLPClassifier(**SMALL), ScikitClassifier(**SMALL), GRID, *digits, cv=3,
        return_train_score=True,
    )  # fmt: skip
    assert_equal(ours, theirs)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-12)
    assert len(trained_alone) == 1  # the best one, on all rows
    np.testing.assert_allclose(
        ours.best_estimator_.coefs_[0], theirs.best_estimator_.coefs_[0], atol=1e-10
    )
    assert np.array_equal(ours.predict(digits[0]), theirs.predict(digits[0]))
    assert ours.score(*digits) == theirs.score(*digits)
    assert ours.n_features_in_ == 64


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive"])
def test_gradient_descent_with_every_schedule_of_its_rate_is_scikit_learns(schedule):
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    settings = {
        **SMALL, "solver": "sgd", "learning_rate": schedule, "max_iter": 30, "tol": 1e-2,
        "n_iter_no_change": 2,
    }  # fmt: skip
    grid = {"momentum": [0.0, 0.9], "power_t": [0.3, 0.5], "tol": [1e-2, 1e-4]}
    found = both(MLPRegressor(**settings), ScikitRegressor(**settings), grid, X, y, cv=3)
    assert_equal(*found)


def test_each_ends_when_its_own_loss_stands_still(digits):
    settings = {**SMALL, "max_iter": 60, "tol": 1e-2, "n_iter_no_change": 2}
    one = MLPSearchCV(MLPClassifier(**settings), GRID, cv=2, refit=False)
    folds = [(np.arange(400), np.arange(5))]
    found = one._trained(Search(one.estimator, one._candidates(), *digits, None, folds), {})
    epochs = []
    for trained in found:
        theirs = ScikitClassifier(**settings, **one._candidates()[trained.candidate]).fit(*digits)
        epochs.append(theirs.n_iter_)
        assert trained.estimator.n_iter_ == theirs.n_iter_
        np.testing.assert_allclose(trained.estimator.loss_curve_, theirs.loss_curve_, atol=1e-10)
        assert trained.estimator.best_loss_ == pytest.approx(theirs.best_loss_, abs=1e-10)
        assert trained.estimator.t_ == theirs.t_
    assert len(set(epochs)) > 2


def test_candidates_of_several_shapes_train_in_a_group_each(digits, trained_alone):
    grid = {"hidden_layer_sizes": [(8,), (6, 6)], "activation": ["relu", "tanh"], "alpha": [0, 1.0]}
    ours, theirs = both(MLPClassifier(**SMALL), ScikitClassifier(**SMALL), grid, *digits, cv=2)
    assert_equal(ours, theirs)
    assert len(trained_alone) == 1


def test_what_needs_the_host_between_epochs_trains_by_itself(digits, trained_alone):
    grid = [{"early_stopping": [True]}, {"solver": ["lbfgs"]}, {"alpha": [1e-3, 1e-2]}]
    ours, theirs = both(MLPClassifier(**SMALL), ScikitClassifier(**SMALL), grid, *digits, cv=2)
    assert_equal(ours, theirs)
    assert len(trained_alone) == 4 + 1


def test_weights_splits_and_several_scores_are_as_in_a_grid_search(digits):
    X, y = digits
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    ours, theirs = both(
        MLPClassifier(**SMALL), ScikitClassifier(**SMALL), GRID, X, y, {"sample_weight": weights},
        cv=ShuffleSplit(2, random_state=1), scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
    )  # fmt: skip
    assert_equal(ours, theirs)


def test_drawn_candidates_are_those_of_a_randomized_search(digits):
    ours = MLPSearchCV(MLPClassifier(**SMALL), GRID, n_iter=4, random_state=3, cv=2, refit=False)
    theirs = RandomizedSearchCV(
        ScikitClassifier(**SMALL), GRID, n_iter=4, random_state=3, cv=2, refit=False
    )
    assert_equal(ours.fit(*digits), theirs.fit(*digits))


def test_a_candidate_that_diverges_fails_alone(digits):
    X, y = digits
    grid = {"learning_rate_init": [1e-2, 1e300]}
    one = MLPSearchCV(MLPClassifier(**SMALL, solver="sgd"), grid, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one.fit(X, y)
    good, bad = one.cv_results_["mean_test_score"]
    assert good > 0.1
    assert np.isnan(bad)


def test_float32_rows_stay_float32(digits):
    X, y = digits
    one = MLPSearchCV(MLPClassifier(**SMALL), {"alpha": [1e-4, 1e-3]}, cv=2).fit(
        X.astype(np.float32), y
    )
    assert one.best_estimator_.coefs_[0].dtype == np.float32
    assert one.predict_proba(X[:3].astype(np.float32)).dtype == np.float32


def test_a_fold_without_one_of_the_classes_is_trained_on_those_it_has(digits):
    X, y = digits
    order = np.argsort(y, kind="stable")
    folds = [(order[:300], order[300:]), (order[100:], order[:100])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = both(MLPClassifier(**SMALL), ScikitClassifier(**SMALL), GRID, X, y, cv=folds)
    assert_equal(*found)


def test_another_estimator_is_refused(digits):
    with pytest.raises(InputError, match="not over MLPClassifier"):
        MLPSearchCV(ScikitClassifier(), GRID).fit(*digits)


def test_a_fold_group_has_members_of_similar_rate_and_all_groups_have_one_size(monkeypatch):
    monkeypatch.setattr(candidates, "MEMBERS_ON_CPU", 2)
    found = list(candidates.fold_groups([[0, 1, 2]], [0.3, 0.1, 0.2], 2))
    assert [piece.candidates for piece in found] == [(1, 2), (0, 0)] * 2
    assert [piece.fold for piece in found] == [0, 0, 1, 1]


def test_networks_that_have_not_converged_are_warned_of_once(digits):
    with pytest.warns(ConvergenceWarning) as caught:
        MLPSearchCV(MLPClassifier(**SMALL), GRID, cv=2, refit=False).fit(*digits)
    assert len(caught) == 1
    assert "12 of the 12 networks" in str(caught[0].message)
