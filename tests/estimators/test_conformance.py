"""scikit-learn's own suite for estimators, with no failure expected."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlp_jax.estimators import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("optax_promotes"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

SMALL = {"hidden_layer_sizes": (10,), "max_iter": 100}
FASTER = {"learning_rate_init": 0.01}


@parametrize_with_checks([MLPClassifier(**SMALL), MLPRegressor(**SMALL, **FASTER)])
def test_the_estimator_is_one_of_scikit_learns(estimator, check):
    check(estimator)
