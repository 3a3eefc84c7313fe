"""What an estimator's owner should know about the data: said once, with the remedy."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier as ScikitClassifier

from mlp_jax import DataWarning
from mlp_jax.errors import InputError
from mlp_jax.estimators import MLPClassifier, MLPRegressor
from mlp_jax.estimators.frames import encoded
from mlp_jax.estimators.presets import learn_preset_encoding

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))
Y = (X[:, 0] > 0).astype(int)
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
IDENTIFIERS = [f"city {i}" for i in np.arange(N) // 2]


def said(fit):
    """The warnings about data of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return [str(one.message) for one in caught if issubclass(one.category, DataWarning)]


@pytest.mark.parametrize("library", [pd, pl])
def test_columns_that_are_left_out_are_announced_once(library):
    columns = {"x": X[:, 0], "city": IDENTIFIERS, "same": ["a"] * N, "w": ["u", "v"] * (N // 2)}
    fitted = MLPClassifier(**QUICK)
    found = said(lambda: fitted.fit(library.DataFrame(columns), Y))
    assert len(found) == 1
    assert "Column 'city' is ignored: none of its 100 categories occurs in 5 or more" in found[0]
    assert "Column 'same' is ignored: it is 'a' in every training row" in found[0]
    assert said(lambda: fitted.predict(library.DataFrame(columns))) == []
    assert said(lambda: learn_preset_encoding("tabular", library.DataFrame(columns))) == found


def test_categories_that_share_a_code_are_announced():
    words = np.where(np.arange(N) < 3, "rare", np.array(["u", "v"])[Y])
    found = said(lambda: MLPClassifier(**QUICK).fit(pd.DataFrame({"w": words, "x": X[:, 0]}), Y))
    assert "1 of 3 categories is rare" in found[0]


def test_a_frame_whose_columns_are_all_of_use_is_fitted_in_silence():
    frame = pd.DataFrame({"x": X[:, 0], "w": ["u", "v"] * (N // 2)})
    assert said(lambda: MLPClassifier(**QUICK).fit(frame, Y)) == []


AGE = RNG.uniform(18, 80, N)
INCOME = RNG.lognormal(10, 1, N)


@pytest.mark.parametrize("library", [pd, pl])
def test_columns_of_numbers_on_several_scales_are_warned_of(library):
    frame = library.DataFrame({"age": AGE, "income": INCOME})
    found = said(lambda: MLPClassifier(**QUICK).fit(frame, Y))
    assert len(found) == 1
    assert f"'income' reaches {INCOME.max():.3g}, 'age' only {AGE.max():.3g}" in found[0]
    assert "StandardScaler" in found[0]
    assert "preset='tabular'" in found[0]
    assert said(lambda: MLPRegressor(**QUICK).fit(library.DataFrame({"income": INCOME}), Y))


def test_arrays_and_standardized_frames_and_presets_are_fitted_in_silence():
    frame = pd.DataFrame({"age": AGE, "income": INCOME})
    silent = MLPClassifier(**QUICK)
    assert said(lambda: silent.fit(frame.to_numpy(), Y)) == []
    assert said(lambda: silent.fit((frame - frame.mean()) / frame.std(), Y)) == []
    assert said(lambda: silent.fit(*load_iris(return_X_y=True, as_frame=True))) == []
    assert said(lambda: learn_preset_encoding("tabular", frame)) == []
    assert said(lambda: silent.fit(frame.assign(w=["u", "v"] * (N // 2)), Y)) == []


def test_the_warning_changes_nothing_of_what_scikit_learn_gives():
    frame = pd.DataFrame({"age": AGE, "income": INCOME})
    with pytest.warns(DataWarning, match="far from standardized"):
        ours = MLPClassifier(**QUICK).fit(frame, Y)
    theirs = ScikitClassifier(**QUICK).fit(frame, Y)
    np.testing.assert_allclose(ours.predict_proba(frame), theirs.predict_proba(frame), atol=1e-8)


@pytest.mark.parametrize("library", [pd, pl])
def test_missing_values_in_a_frame_of_numbers_are_refused_with_the_ways_out(library):
    gaps = np.where(np.arange(N) % 5, X[:, 0], np.nan)
    frame = library.DataFrame({"a": gaps, "b": X[:, 1]})
    whole = library.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    fitted = MLPClassifier(**QUICK).fit(whole, Y)
    for call in (lambda: MLPClassifier(**QUICK).fit(frame, Y), lambda: fitted.predict(frame)):
        with pytest.raises(ValueError, match="Input X contains NaN") as caught:
            call()
        assert "preset='tabular'" in str(caught.value)
    assert np.isfinite(encoded(learn_preset_encoding("tabular", frame), frame)).all()


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_labels_that_look_like_prices_are_warned_of():
    prices = RNG.integers(100, 1000, N)
    for y in (prices, prices.astype(float)):
        found = said(lambda y=y: MLPClassifier(**QUICK).fit(X, y))
        assert len(found) == 1
        assert f"y has {len(np.unique(prices))} different whole numbers in {N} rows" in found[0]
        assert "MLPRegressor" in found[0]
    assert said(lambda: MLPClassifier(**QUICK).fit(X, prices.astype(str))) == []
    assert said(lambda: MLPClassifier(**QUICK).fit(X, np.arange(N) % 50)) == []


def test_numbers_with_fractions_are_refused_as_by_scikit_learn():
    for kind in (MLPClassifier, ScikitClassifier):
        with pytest.raises(ValueError, match="Unknown label type"):
            kind(**QUICK).fit(X, X[:, 0])


def test_a_warning_made_an_error_fails_the_fit_and_not_the_process():
    frame = pd.DataFrame({"age": AGE, "income": INCOME})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", DataWarning)
        with pytest.raises(DataWarning):
            MLPClassifier(**QUICK).fit(frame, Y)
        with pytest.raises((ValueError, DataWarning)):
            cross_val_score(MLPClassifier(**QUICK), frame, Y, cv=2, error_score="raise")
    assert not issubclass(DataWarning, InputError)
