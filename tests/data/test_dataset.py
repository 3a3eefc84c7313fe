import numpy as np
import pytest

from mlp_jax.data import Dataset, Split
from mlp_jax.errors import InputError


def make(x=None, y=None, *, test=None, classes=("a", "b"), image_shape=None, feature_names=()):
    x = np.zeros((3, 2), np.float32) if x is None else x
    y = np.array([0, 1, 0], np.int32) if y is None else y
    return Dataset("toy", Split(x, y), test, classes, image_shape, feature_names)


def message_of(**kwargs):
    with pytest.raises(InputError) as caught:
        make(**kwargs)
    message = str(caught.value)
    assert message.endswith(".")
    assert "'toy'" in message
    return message


def test_a_classification_set_counts_features_and_classes():
    dataset = make()
    assert dataset.is_classification
    assert (dataset.n_features, dataset.n_outputs, len(dataset.train)) == (2, 2, 3)


def test_a_regression_set_counts_the_columns_of_y():
    assert make(y=np.zeros(3, np.float32), classes=()).n_outputs == 1
    dataset = make(y=np.zeros((3, 4)), classes=())
    assert dataset.n_outputs == 4
    assert not dataset.is_classification


def test_a_value_that_is_not_finite_is_named_by_row_and_column():
    x = np.zeros((3, 2), np.float32)
    x[1, 1], x[2, 0] = np.nan, np.inf
    message = message_of(x=x)
    assert "2 values" in message
    assert "(nan)" in message
    assert "row 1, column 1" in message
    assert "'age'" in message_of(x=x, feature_names=("height", "age"))


def test_a_value_in_the_test_rows_is_placed_there():
    test = Split(np.full((1, 2), np.inf, np.float32), np.zeros(1, np.int32))
    assert "the test rows of 'toy'" in message_of(test=test)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_target_that_is_not_finite_is_named_by_row(bad):
    message = message_of(y=np.array([0, bad, 0], np.float32), classes=())
    assert "y has 1 value that is" in message
    assert "in row 1." in message
    message = message_of(y=np.array([[0, 0], [0, 0], [0, bad]]), classes=())
    assert "in row 2, column 1." in message


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_out_of_range_is_named_with_the_allowed_range(label):
    message = message_of(y=np.array([0, label, 1], np.int32))
    assert f"label {label} in row 1" in message
    assert "0 to 1" in message


def test_lengths_that_differ_are_both_named():
    message = message_of(y=np.zeros(2, np.int32))
    assert "x has 3 rows, but y has 2 rows" in message


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_empty_data_is_refused(shape):
    assert "empty" in message_of(x=np.zeros(shape), y=np.zeros(shape[0], np.int32))


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_x_that_is_not_2d_is_refused_with_its_shape(shape):
    assert str(shape) in message_of(x=np.zeros(shape))


def test_dtypes_outside_the_contract_are_refused():
    assert "int64" in message_of(x=np.zeros((3, 2), np.int64))
    assert "int64" in message_of(y=np.zeros(3, np.int64))
    assert "(3, 1)" in message_of(y=np.zeros((3, 1), np.int32))
    assert "int32" in message_of(classes=())
    assert "(3, 0)" in message_of(y=np.zeros((3, 0)), classes=())


def test_test_rows_of_another_width_are_refused():
    test = Split(np.zeros((1, 3), np.float32), np.zeros(1, np.int32))
    assert "2 features, but the test rows 3" in message_of(test=test)
    test = Split(np.zeros((1, 2)), np.zeros((1, 2)))
    assert "(1, 2) in the test rows" in message_of(test=test, y=np.zeros((3, 1)), classes=())


def test_names_and_shapes_that_do_not_fit_are_refused():
    assert "twice" in message_of(classes=("a", "a"))
    assert "8 × 8 pixels need 64" in message_of(image_shape=(8, 8))
    assert "1 feature name." in message_of(feature_names=("age",))
