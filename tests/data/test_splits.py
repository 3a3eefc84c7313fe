import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from mlp_jax.data import Dataset, Split, class_weights, load_digits, split
from mlp_jax.errors import InputError


def labelled(y, test=None):
    """A set whose only feature is the row's number."""
    y = np.asarray(y, np.int32)
    x = np.arange(len(y), dtype=np.float64)[:, None]
    classes = tuple(str(i) for i in range(y.max() + 1))
    return Dataset("toy", Split(x, y), test, classes, None)


def rows_of(splits):
    parts = (splits.train, splits.validation, splits.test)
    return [[] if p is None else p.x[:, 0].astype(int).tolist() for p in parts]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    validation=st.integers(10, 45),
    test=st.integers(10, 45),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_every_part_has_each_class_within_one_row_of_its_share(sizes, validation, test, seed):
    sizes[0] += 20
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    splits = split(labelled(y), test=test / 100, validation=validation / 100, seed=seed)
    assert sorted(itertools.chain(*rows_of(splits))) == list(range(len(y)))
    assert set(splits.train.y) == set(y)
    percents = (100 - validation - test, validation, test)
    for rows, percent in zip(rows_of(splits), percents, strict=True):
        for label in set(y):
            share = np.count_nonzero(y == label) * percent
            assert abs(100 * np.count_nonzero(y[rows] == label) - share) < 100


def test_totals_are_right_when_every_class_is_too_small_for_its_share():
    y = np.repeat(np.arange(200), 4)
    train, validation, test = rows_of(split(labelled(y), test=0.1, validation=0.1, seed=3))
    assert len(train) == 640
    assert abs(len(validation) - 80) <= 1
    assert abs(len(test) - 80) <= 1


def test_a_share_of_whole_rows_is_met_exactly_though_other_classes_give_up_none():
    tens, ones = np.repeat(np.arange(20), 10), np.arange(20, 120)
    splits = split(labelled([*tens, *ones]), test=0.25, validation=0.3, seed=0)
    assert splits.validation is not None
    assert np.bincount(splits.validation.y).tolist() == [3] * 20


def test_which_class_is_rounded_up_depends_on_the_seed():
    dataset = labelled([0] * 6 + [1] * 6)
    ones = set()
    for seed in range(20):
        validation = split(dataset, test=None, validation=0.25, seed=seed).validation
        assert validation is not None
        ones.add(int(validation.y.sum()))
    assert ones == {1, 2}


def test_the_digits_split_as_counting_says():
    digits = load_digits()
    splits = split(digits, test=0.2, validation=0.1, seed=0)
    counts = np.bincount(digits.train.y)
    assert splits.validation is not None
    assert splits.test is not None
    assert np.all(np.abs(np.bincount(splits.test.y) - 0.2 * counts) < 1)
    assert np.all(np.abs(np.bincount(splits.validation.y) - 0.1 * counts) < 1)
    assert abs(len(splits.test) - 0.2 * 1797) < 1
    assert abs(len(splits.validation) - 0.1 * 1797) < 1


def test_x_and_y_stay_together():
    y = np.random.default_rng(0).integers(0, 3, 100)
    splits = split(labelled(y), test=0.2, validation=0.2, seed=1)
    for part in (splits.train, splits.validation, splits.test):
        assert part is not None
        np.testing.assert_array_equal(part.y, y[part.x[:, 0].astype(int)])


def test_a_seed_gives_one_split_and_another_seed_another():
    dataset = labelled(np.arange(60) % 3)
    first, again, other = (
        rows_of(split(dataset, test=0.2, validation=0.1, seed=s)) for s in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_a_class_with_one_row_keeps_it_for_training():
    splits = split(labelled([0] * 20 + [1]), test=0.4, validation=0.4, seed=0)
    assert 20 in rows_of(splits)[0]


def test_a_sets_own_test_rows_are_kept():
    own = Split(np.full((2, 1), -1.0), np.zeros(2, np.int32))
    splits = split(labelled([0, 1] * 10, own), test=0.9, validation=0.2, seed=0)
    assert splits.test is own
    assert splits.validation is not None
    assert len(splits.validation) == 4
    assert len(splits.train) == 16


def test_nothing_is_given_up_when_nothing_is_asked():
    dataset = labelled([0, 1] * 10)
    for test in (None, 0.0):
        splits = split(dataset, test=test, validation=0.0, seed=0)
        assert splits.validation is None
        assert splits.test is None
        assert splits.train is dataset.train


def test_regression_rows_are_shuffled_apart():
    x = np.arange(100, dtype=np.float64)[:, None]
    dataset = Dataset("toy", Split(x, x[:, 0]), None, (), None)
    train, validation, test = rows_of(split(dataset, test=0.2, validation=0.15, seed=0))
    assert (len(train), len(validation), len(test)) == (65, 15, 20)
    assert sorted(train + validation + test) == list(range(100))
    assert test != sorted(range(80, 100))


@pytest.mark.parametrize(
    ("test", "validation", "match"),
    [
        (1.0, 0.0, "test fraction must be at least 0 and less than 1, but is 1.0"),
        (None, 1.5, "validation fraction"),
        (-0.1, 0.0, "-0.1"),
        (None, float("nan"), "nan"),
        (0.5, 0.5, "leave no training row of 20"),
        (None, 0.01, "validation fraction of 0.01 leaves no validation row of 20"),
        (0.01, 0.0, "no test row"),
    ],
)
def test_fractions_that_cannot_be_taken_are_named(test, validation, match):
    with pytest.raises(InputError, match=match):
        split(labelled([0, 1] * 10), test=test, validation=validation, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="-1"):
        split(labelled([0, 1] * 10), test=None, validation=0.1, seed=-1)


def test_class_weights_are_those_of_scikit_learn():
    y = np.array([0, 0, 0, 1, 2, 2], np.int32)
    weights = class_weights(y, 3)
    assert weights.dtype == np.float32
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(weights, expected, rtol=1e-7)


def test_a_class_without_rows_weighs_nothing():
    assert class_weights(np.array([0, 2, 2]), 3).tolist() == [1.0, 0.0, 0.5]


def test_class_weights_refuse_a_label_out_of_range():
    with pytest.raises(InputError, match="label 3 in row 1"):
        class_weights(np.array([0, 3]), 3)
