import numpy as np
import pytest

from mlp_jax.data import load


def test_the_signals_are_those_of_the_published_package():
    package = pytest.importorskip("mnist1d.data", reason="the package mnist1d is not installed")
    theirs, ours = package.make_dataset(package.get_dataset_args()), load("mnist1d")
    assert ours.test is not None
    np.testing.assert_array_equal(ours.train.x, theirs["x"])
    np.testing.assert_array_equal(ours.train.y, theirs["y"])
    np.testing.assert_array_equal(ours.test.x, theirs["x_test"])
    np.testing.assert_array_equal(ours.test.y, theirs["y_test"])


def test_there_are_five_hundred_signals_of_each_digit_standardized_together():
    dataset = load("mnist1d")
    assert dataset.test is not None
    assert (dataset.train.x.shape, dataset.test.x.shape) == ((4000, 40), (1000, 40))
    labels = np.concatenate([dataset.train.y, dataset.test.y])
    assert np.bincount(labels).tolist() == [500] * 10
    x = np.concatenate([dataset.train.x, dataset.test.x])
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12


def test_the_users_random_numbers_are_left_alone():
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    load("mnist1d")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
