import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from mlp_jax.training.presets.bins import tree_edges

X = np.arange(40, dtype=np.float32)[:, None]
STEP = (X[:, 0] >= 25).astype(np.int32)


def test_an_edge_lies_where_the_classes_change():
    assert tree_edges(X, STEP, "classification", bins=8, rows_a_bin=5) == ((0.0, 24.5, 39.0),)


def test_an_edge_lies_where_a_number_to_predict_jumps():
    y = np.where(X[:, 0] < 10, 3.0, -1.0)
    assert tree_edges(X, y, "regression", bins=2, rows_a_bin=5) == ((0.0, 9.5, 39.0),)


@pytest.mark.parametrize("bins", [2, 4, 16])
def test_the_edges_are_the_thresholds_of_a_tree_that_sees_the_feature_alone(bins):
    x = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    y = (np.sin(4 * x[:, 0]) + x[:, 1] > 0).astype(np.int32)
    found = tree_edges(x, y, "classification", bins=bins, rows_a_bin=5)
    for g in range(2):
        tree = DecisionTreeClassifier(max_leaf_nodes=bins, min_samples_leaf=5, random_state=0)
        thresholds = tree.fit(x[:, [g]], y).tree_.threshold
        inner = np.sort(thresholds[thresholds != -2]).astype(np.float32)
        assert found[g] == (x[:, g].min(), *inner, x[:, g].max())


def test_a_feature_that_is_the_same_everywhere_has_one_bin():
    constant = np.full((40, 1), 2.0, np.float32)
    assert tree_edges(constant, STEP, "classification", bins=8, rows_a_bin=5) == ((2.0, 3.0),)
