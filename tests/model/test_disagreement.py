import numpy as np
import pytest

from mlp_jax.model.disagreement import between_classes, between_labels, between_values


def test_members_that_agree_disagree_by_zero():
    p = np.tile([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], (4, 1, 1))
    assert between_classes(p) == pytest.approx([0, 0], abs=1e-15)
    assert between_labels(p) == pytest.approx([0, 0], abs=1e-15)
    assert between_values(p) == pytest.approx([0, 0], abs=1e-15)


def test_members_that_are_sure_of_different_classes_disagree_by_the_entropy_of_the_vote():
    p = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert between_classes(p) == pytest.approx([expected])
    assert between_labels(p[..., :1]) == pytest.approx([expected])


def test_values_disagree_by_their_standard_deviation():
    assert between_values(np.array([[[1.0]], [[3.0]]])) == pytest.approx([1.0])
