"""Presets through scikit-learn's interface."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_friedman1
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.errors import InputError
from mlp_jax.estimators import MLPClassifier, MLPRegressor, presets
from mlp_jax.training import Optimizer
from mlp_jax.training.presets import Preset

pytestmark = pytest.mark.usefixtures("optax_promotes")


@pytest.fixture
def optax_promotes():
    import jax

    with jax.numpy_dtype_promotion("standard"):
        yield


def people(n=300):
    rng = np.random.default_rng(0)
    age, job = rng.integers(18, 80, n), rng.choice(["cook", "nurse", "clerk"], n)
    rich = np.where((age > 50) ^ (job == "cook"), "yes", "no")
    return pd.DataFrame({"age": age, "job": job}), rich


def test_the_tabular_preset_takes_a_frame_with_words():
    X, y = people()
    one = MLPClassifier(preset="tabular", random_state=0, max_iter=15).fit(X, y)
    assert one.score(X, y) > 0.8
    assert one.classes_.tolist() == ["no", "yes"]
    assert one.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(len(X)), abs=1e-6)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict_proba(X[["job", "age"]]), one.predict_proba(X))
    assert clone(one).get_params() == one.get_params()


def test_the_images_preset_learns_digits():
    X, y = load_digits(return_X_y=True)
    one = MLPClassifier(preset="images", random_state=0, max_iter=5).fit(X[:1000], y[:1000])
    assert one.score(X[1000:], y[1000:]) > 0.9
    assert one.n_iter_ == 5


def test_what_the_preset_sets_is_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match="leave out activation, dropout"):
        MLPClassifier(preset="tabular", activation="tanh", dropout=0.1).fit(X, y)
    with pytest.raises(ValueError, match="preset"):
        MLPClassifier(preset="tables").fit(X, y)


X, Y = make_friedman1(400, n_features=6, noise=0.5, random_state=0)
PRICES = 1000 * Y + 5e5
OTHER = 0.03 - 1e-4 * X[:, 3] ** 2
WEIGHTS = np.random.default_rng(1).uniform(0, 2, len(Y)) * (np.arange(len(Y)) % 5 > 0)


@pytest.fixture
def small_recipe(monkeypatch):
    """A network that is proved in a moment in place of the tabular one."""

    def recipe(name, *, inputs, n_in, n_out, task, n_rows, x=None):
        assert (name, task) == ("tabular", "regression")
        options = {"epochs": 12, "batch_size": 50, "select": "best"}
        loss = get_loss("squared_error")
        return Preset(mlp((16,), n_out, "tanh"), loss, Optimizer("adam", 1e-2), options)

    monkeypatch.setattr(presets, "preset", recipe)


def regressor(**options):
    return MLPRegressor(preset="tabular", random_state=0, **options)


def test_the_tabular_preset_learns_targets_of_any_unit():
    rows, _ = people(600)
    job, noise = rows["job"], np.random.default_rng(1).normal(0, 2e4, len(rows))
    pay = 5e5 + 1e5 * (job == "nurse") + 3e3 * rows["age"] * (job == "cook") + noise
    one = regressor(max_iter=20).fit(rows[:400], pay[:400])
    found = one.predict(rows[400:])
    assert r2_score(pay[400:], found) > 0.8
    assert one.score(rows[400:], pay[400:]) == pytest.approx(r2_score(pay[400:], found))
    assert one.loss_curve_[0] < 2
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict(rows[400:]), found)
    assert one.to_model().predict(rows[400:]) == pytest.approx(found, rel=1e-9)


@pytest.mark.usefixtures("small_recipe")
@pytest.mark.parametrize("options", [{}, {"ensemble": 2}], ids=["one", "ensemble"])
def test_predictions_and_their_spread_follow_the_unit_of_the_targets(options):
    small, large = (clone(regressor(**options)).fit(X, y) for y in (Y, PRICES))
    assert r2_score(Y, small.predict(X)) > 0.7
    assert large.predict(X) == pytest.approx(1000 * small.predict(X) + 5e5, rel=1e-6)
    assert large.score(X, PRICES) == pytest.approx(small.score(X, Y), abs=1e-4)
    assert large.loss_curve_ == pytest.approx(small.loss_curve_, rel=1e-4)
    if not options:
        small, large = small.fit_laplace(X, Y), large.fit_laplace(X, PRICES)
    spread = large.predict_uncertainty(X)
    assert spread == pytest.approx(1000 * small.predict_uncertainty(X), rel=1e-2)


@pytest.mark.usefixtures("small_recipe")
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_each_output_is_brought_to_mean_0_and_spread_1_of_the_rows_that_count(weights):
    y = np.c_[PRICES, OTHER, np.full(len(Y), 7.0)]
    one = regressor(max_iter=40).fit(X, y, sample_weight=weights)
    target, expected = one.to_model().target, StandardScaler().fit(y[:, :2], sample_weight=weights)
    assert target.offset == pytest.approx([*expected.mean_, 7], rel=1e-12)
    assert target.scale == pytest.approx([*expected.scale_, 1], rel=1e-9)
    found = one.predict(X)
    assert all(r2_score(y[:, k], found[:, k]) > 0.7 for k in (0, 1))
    assert found[:, 2] == pytest.approx(7, abs=0.5)


@pytest.mark.usefixtures("small_recipe")
def test_validation_scores_of_numbers_are_r2_in_their_own_units():
    judged = (X[:100], np.c_[PRICES, OTHER][:100])
    one = regressor(validation_data=judged).fit(X[100:], np.c_[PRICES, OTHER][100:])
    assert max(one.validation_scores_) == pytest.approx(one.score(*judged), abs=1e-3)


def test_an_ensemble_of_regressors_stops_early_by_r2():
    judged = (X[:100], Y[:100])
    options = {"learning_rate_init": 0.02, "batch_size": 50, "max_iter": 30}
    one = MLPRegressor(
        hidden_layer_sizes=(8,), ensemble=2, early_stopping=True, validation_data=judged,
        random_state=0, **options,
    ).fit(X[100:], Y[100:])  # fmt: skip
    assert one.best_validation_score_ == max(one.validation_scores_) <= 1
    assert one.score(*judged) > 0.5
    p = one.predict(judged[0])
    assert r2_score(judged[1], p) == pytest.approx(one.score(*judged))


@pytest.mark.usefixtures("small_recipe")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_second_fit_learns_the_unit_anew_and_none_without_a_preset():
    one = regressor().fit(X, PRICES)
    fresh = regressor().fit(X, Y).predict(X)
    assert np.array_equal(one.fit(X, Y).predict(X), fresh)
    plain = {"hidden_layer_sizes": (4,), "max_iter": 300, "solver": "lbfgs", "random_state": 0}
    without = one.set_params(preset=None, **plain).fit(X, PRICES).predict(X)
    assert np.array_equal(without, MLPRegressor(**plain).fit(X, PRICES).predict(X))


def test_other_losses_and_partial_fits_go_without_a_preset():
    with pytest.raises(InputError, match="leave out loss"):
        regressor(loss="poisson").fit(X, Y)
    with pytest.raises(InputError, match="partial_fit"):
        regressor().partial_fit(X, PRICES)


def test_targets_too_wide_for_float64_are_refused():
    with pytest.raises(InputError, match="too widely spread"):
        regressor().fit(X, np.where(Y > 10, 1e300, -1e300))
