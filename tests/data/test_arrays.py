import numpy as np
import pytest

from mlp_jax.data import from_arrays
from mlp_jax.errors import InputError, UnknownNameError

TABLE = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("uint8", "uint8"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">f8", "float64"),
        ("float16", "float32"),
        ("int64", "float32"),
        ("bool", "float32"),
    ],
)
def test_features_keep_what_they_can_and_become_float32_otherwise(given, kept):
    x = from_arrays("t", TABLE.astype(given), np.zeros(3)).train.x
    assert x.dtype == np.dtype(kept)
    assert x.dtype.isnative
    np.testing.assert_array_equal(x, TABLE.astype(given))


def test_images_are_flattened_row_by_row_and_keep_their_shape():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for x in (images, images[..., None]):
        dataset = from_arrays("t", x, np.array([0, 1]))
        assert dataset.image_shape == (3, 4)
        assert dataset.train.x[1].tolist() == list(range(12, 24))


def test_images_in_colour_keep_their_three_channels_and_other_channels_are_no_picture():
    images = np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3)
    dataset = from_arrays("t", images, np.array([[0], [1]]))
    assert dataset.train.x[1].tolist() == list(range(36, 72))
    assert dataset.image_shape == (3, 4, 3)
    assert from_arrays("t", images.reshape(2, 3, 3, 4), np.array([0, 1])).image_shape is None


def test_images_of_two_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(2, 6\).*but \(3, 4\)"):
        from_arrays("t", np.zeros((1, 2, 6)), np.zeros(1), test=(np.zeros((1, 3, 4)), np.zeros(1)))


def test_strings_become_sorted_classes():
    dataset = from_arrays("t", TABLE, np.array(["pear", "apple", "pear"]))
    assert dataset.classes == ("apple", "pear")
    assert dataset.train.y.tolist() == [1, 0, 1]
    assert dataset.train.y.dtype == np.int32
    assert from_arrays("t", TABLE, np.array([b"b", b"a", b"b"])).classes == ("a", "b")


def test_whole_numbers_become_the_classes_that_occur_in_training_or_test():
    dataset = from_arrays("t", TABLE, np.array([7, 3, 7]), test=(TABLE[:1], np.array([5])))
    assert dataset.classes == ("3", "5", "7")
    assert dataset.train.y.tolist() == [2, 0, 2]
    assert dataset.test is not None
    assert dataset.test.y.tolist() == [1]


def test_booleans_become_two_classes():
    assert from_arrays("t", TABLE, np.array([True, False, True])).classes == ("False", "True")


def test_given_classes_fix_the_order_of_names_and_numbers():
    names = ["z", "a", "m"]
    by_name = from_arrays("t", TABLE, np.array(["m", "z", "m"]), classes=names)
    by_number = from_arrays("t", TABLE, np.array([2, 0, 2]), classes=names)
    assert by_name.classes == by_number.classes == ("z", "a", "m")
    assert by_name.train.y.tolist() == by_number.train.y.tolist() == [2, 0, 2]


def test_floats_are_targets_and_keep_their_columns():
    y = np.array([[0.5], [1.5], [2.5]], np.float32)
    dataset = from_arrays("t", TABLE, y)
    assert not dataset.is_classification
    assert dataset.train.y.shape == (3, 1)
    assert from_arrays("t", TABLE, y.astype(np.float64)).train.y.dtype == np.float64


def test_the_task_can_be_forced():
    counts = from_arrays("t", TABLE, np.array([3, 1, 2]), task="regression")
    assert counts.train.y.dtype == np.float32
    assert counts.train.y.tolist() == [3.0, 1.0, 2.0]
    labels = from_arrays("t", TABLE, np.array([1.0, 0.0, 1.0]), task="classification")
    assert labels.classes == ("0", "1")


@pytest.mark.parametrize(
    ("y", "options", "match"),
    [
        (np.array([0, -1, 0]), {"classes": "ab"}, "label -1 in row 1 .* 0 to 1"),
        (np.array([0, 2**32, 0]), {"classes": "ab"}, "label 4294967296 in row 1 .* 0 to 1"),
        (np.array(["a", "c", "b"]), {"classes": "ab"}, "label 'c' in row 1 .* a, b"),
        (np.array([0, 0, 0]), {"classes": ""}, "empty"),
        (np.zeros((3, 2), int), {}, "argmax"),
        (np.array([0.0, 0.5, 1]), {"task": "classification"}, "row 1 has 0.5"),
        (np.array([0.0, 1, np.nan]), {"task": "classification"}, "row 2 has nan"),
        (np.zeros(3, complex), {"task": "classification"}, "complex128"),
        (np.array(["a", "b", "c"]), {"task": "regression"}, "y must hold numbers"),
        (np.zeros(3), {"classes": "ab"}, "names classes"),
        (np.array(0), {}, r"shape \(\)"),
    ],
)
def test_labels_that_cannot_be_used_are_named(y, options, match):
    with pytest.raises(InputError, match=match):
        from_arrays("t", TABLE, y, **options)


def test_labels_of_two_kinds_are_refused():
    with pytest.raises(InputError, match="int64 in the training rows"):
        from_arrays("t", TABLE, np.array([0, 1, 2]), test=(TABLE, np.array(["0", "1", "2"])))


def test_features_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="x must hold numbers, but its dtype is <U1"):
        from_arrays("t", np.array([["a"], ["b"]]), np.zeros(2))


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'regression'"):
        from_arrays("t", TABLE, np.zeros(3), task="regresion")


def test_rows_are_called_after_a_part_only_where_there_are_two():
    x, y = np.array([[1.0], [np.nan]]), np.array([0, 1])
    with pytest.raises(InputError, match="In the rows of 'new', x has 1 value that is NaN"):
        from_arrays("new", x, y)
    with pytest.raises(InputError, match="In the training rows of 'new', x has 1 value"):
        from_arrays("new", x, y, test=(np.ones((1, 1)), y[:1]))
