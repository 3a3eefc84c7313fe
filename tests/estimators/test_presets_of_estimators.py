"""Presets through scikit-learn's interface."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris

from mlp_jax.errors import InputError
from mlp_jax.estimators import MLPClassifier

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


def test_what_the_preset_settles_is_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match="settles activation, dropout itself"):
        MLPClassifier(preset="tabular", activation="tanh", dropout=0.1).fit(X, y)
    with pytest.raises(ValueError, match="preset"):
        MLPClassifier(preset="tables").fit(X, y)
