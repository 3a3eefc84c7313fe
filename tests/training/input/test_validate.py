import numpy as np
import pytest
from training_cases import labelled

from mlp_jax import mlp
from mlp_jax.backprop import get_loss
from mlp_jax.data import Split
from mlp_jax.errors import InputError
from mlp_jax.training.input.validate import checked_rows, row_weights

NETWORK, LOSS = mlp([4], 3), get_loss("softmax_cross_entropy")


@pytest.mark.parametrize("kind", ["pair", "split", "lists"])
def test_rows_come_as_arrays_a_split_or_lists(kind):
    x, y = labelled(12)
    data = {"pair": (x, y), "split": Split(x, y), "lists": (x.tolist(), y.tolist())}[kind]
    rows, watched, n_classes, weights = checked_rows(NETWORK, LOSS, data, None, 0)
    assert np.array_equal(rows.x, x)
    assert rows.y.tolist() == y.tolist()
    assert (watched, n_classes, weights) == (None, 3, None)


def test_a_fraction_is_held_out_by_class_and_nothing_is_lost():
    x, _ = labelled(50)
    y = np.repeat([0, 1, 2], (30, 10, 10))
    weights = np.arange(1.0, 51.0)
    rows, watched, _, kept = checked_rows(NETWORK, LOSS, (x, y), 0.2, 3, weights)
    assert np.bincount(watched.y).tolist() == [6, 2, 2]
    together = np.concatenate([rows.x, watched.x])
    assert sorted(map(tuple, together)) == sorted(map(tuple, x))
    for row, label, weight in zip(rows.x, rows.y, kept, strict=True):
        (place,) = np.flatnonzero((x == row).all(axis=1))
        assert (y[place], weights[place]) == (label, weight)


def test_given_validation_rows_are_checked_too():
    x, y = labelled(12)
    rows, watched, _, _ = checked_rows(NETWORK, LOSS, (x, y), (x[:3], y[:3]), 0)
    assert (len(rows), len(watched)) == (12, 3)
    with pytest.raises(InputError, match="The data have 4 features, but the validation data 2"):
        checked_rows(NETWORK, LOSS, (x, y), (x[:3, :2], y[:3]), 0)
    with pytest.raises(InputError, match="outside the allowed 0 to 2"):
        checked_rows(NETWORK, LOSS, (x, y), (x[:3], y[:3] + 2), 0)


def test_probabilities_may_stand_for_labels_but_lie_between_0_and_1():
    x, y = labelled(12)
    p = np.eye(3, dtype=np.float32)[y] * 0.9 + 1 / 30
    rows, _, n_classes, _ = checked_rows(NETWORK, LOSS, (x, p), None, 0)
    assert n_classes == 3
    assert rows.y.shape == (12, 3)
    p[4, 1] = -0.1
    with pytest.raises(InputError, match=r"from 0 to 1, but row 4 has -0\.1"):
        checked_rows(NETWORK, LOSS, (x, p), None, 0)


def test_a_weight_is_that_of_the_row_times_that_of_its_class():
    x, y = labelled(12)
    rows = Split(x, y)
    own, each = np.linspace(0.5, 2, 12), np.array([1.0, 0.0, 3.0])
    assert row_weights(rows, None, None, 3) is None
    assert row_weights(rows, own, None, 3) is own
    assert row_weights(rows, own, each.tolist(), 3) == pytest.approx(own * each[y])
    assert row_weights(rows, None, "balanced", 3) == pytest.approx(
        12 / (3 * np.bincount(y))[y], rel=1e-6
    )
    with pytest.raises(InputError, match="need labels"):
        row_weights(Split(x, x[:, 0]), None, "balanced", 0)
