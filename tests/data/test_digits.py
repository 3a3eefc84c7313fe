import numpy as np
from sklearn import datasets

from mlp_jax.data import load_digits


def test_the_digits_are_those_of_scikit_learn():
    ours, theirs = load_digits(), datasets.load_digits()
    assert ours.train.x.dtype == np.uint8
    assert ours.train.y.dtype == np.int32
    np.testing.assert_array_equal(ours.train.x, theirs.data)
    np.testing.assert_array_equal(ours.train.y, theirs.target)
    assert ours.classes == tuple(str(c) for c in theirs.target_names)
    assert ours.image_shape == (8, 8)
    assert ours.test is None
