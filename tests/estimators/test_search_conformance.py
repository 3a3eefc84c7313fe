"""scikit-learn's suite for the search too, with what its own search is let off."""

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as ScikitClassifier
from sklearn.utils.estimator_checks import check_estimator

from mlp_jax.estimators import MLPClassifier, MLPSearchCV

pytestmark = [
    pytest.mark.usefixtures("optax_promotes"),
    pytest.mark.filterwarnings("ignore"),
]


def failures(search):
    return {
        result["check_name"]
        for result in check_estimator(search, on_fail=None, on_skip=None)
        if result["status"] == "failed"
    }


def test_the_search_fails_no_check_that_a_grid_search_over_scikit_learns_passes():
    settings = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}
    grid = {"alpha": [1e-4, 1e-2]}
    theirs = failures(GridSearchCV(ScikitClassifier(**settings), grid, cv=2))
    assert failures(MLPSearchCV(MLPClassifier(**settings), grid, cv=2)) <= theirs
