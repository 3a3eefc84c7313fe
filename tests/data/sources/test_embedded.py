import numpy as np
import pytest
from sklearn import datasets

from mlp_jax.data import load


@pytest.mark.parametrize(
    ("name", "target"),
    [("iris", "species"), ("wine", "cultivar"), ("breast_cancer", "diagnosis")],
)
def test_a_small_table_of_classes_is_that_of_scikit_learn(name, target):
    ours, theirs = load(name), getattr(datasets, f"load_{name}")()
    assert ours.frame.columns == [*theirs.feature_names, target]
    assert (ours.name, ours.targets, ours.task) == (name, (target,), "classification")
    np.testing.assert_array_equal(ours.frame.drop(target).to_numpy(), theirs.data)
    assert ours.frame[target].to_list() == [str(theirs.target_names[k]) for k in theirs.target]


def test_diabetes_is_a_regression():
    ours, theirs = load("diabetes"), datasets.load_diabetes()
    assert (ours.targets, ours.task) == (("progression",), "regression")
    np.testing.assert_array_equal(ours.frame.drop("progression").to_numpy(), theirs.data)
    np.testing.assert_array_equal(ours.frame["progression"].to_numpy(), theirs.target)
