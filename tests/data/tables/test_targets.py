"""What is predicted, found and encoded."""

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.tables.targets import encode_target, fit_target
from mlp_jax.errors import InputError, UnknownNameError


def fitted(task="auto", **columns):
    frame = pl.DataFrame(columns)
    encoding, notes = fit_target(frame, frame.columns, task=task)
    return encoding, encode_target(encoding, frame, missing_allowed=True), notes


@pytest.mark.parametrize(
    ("values", "classes", "labels"),
    [
        (["b", "a", "b", None], ("a", "b"), [1, 0, 1, -1]),
        ([10, 9, 10, None], ("9", "10"), [1, 0, 1, -1]),
        ([True, False, None], ("false", "true"), [1, 0, -1]),
        (["True", "False"], ("False", "True"), [1, 0]),
        (["0", "1", "1"], ("0", "1"), [0, 1, 1]),
    ],
)
def test_words_booleans_and_whole_numbers_are_labels(values, classes, labels):
    encoding, y, _ = fitted(y=values)
    assert (encoding.task, encoding.classes) == ("classification", classes)
    assert y.dtype == np.int32
    assert y.tolist() == labels


def test_other_numbers_are_targets_with_their_mean_and_deviation():
    values = np.array([1.5, 2.0, 9.5])
    encoding, y, _ = fitted(y=values)
    assert encoding.task == "regression"
    np.testing.assert_allclose(
        [encoding.offset[0], encoding.scale[0]], [values.mean(), values.std()]
    )
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, values)


def test_several_columns_are_several_outputs():
    encoding, y, _ = fitted(a=[1.0, 3.0], b=[5, 5])
    assert (encoding.names, encoding.offset, encoding.scale) == (("a", "b"), (2, 5), (1, 1))
    np.testing.assert_array_equal(y, [[1, 5], [3, 5]])


def test_several_columns_of_0_and_1_are_several_labels():
    encoding, y, _ = fitted(a=[0, 1, 1], b=[True, False, True], c=["no", "yes", "no"])
    assert encoding.task == "multilabel"
    np.testing.assert_array_equal(y, [[0, 1, 0], [1, 0, 1], [1, 1, 0]])
    assert fitted("regression", a=[0, 1], b=[1, 0])[0].task == "regression"
    with pytest.raises(InputError, match="must each hold only 0 and 1, but 'b' holds other values"):
        fitted("classification", a=[0, 1], b=[1, 2])


def test_the_task_can_be_said():
    assert fitted("classification", y=list(range(51)))[0].task == "classification"
    assert fitted("regression", y=[0, 1, 1])[0].task == "regression"
    assert fitted("regression", y=[0, 1, 1])[2] == ("Target 'y': regression, as --task says.",)


def test_text_among_numbers_to_predict_is_named():
    with pytest.raises(InputError, match=r"Column 'y' has 'x' in row 2, which is not a number\."):
        fitted("regression", y=["1", "2.5", "x", "z"])
    with pytest.raises(
        InputError, match=r"holds numbers, but 'nb' in row 100 is text: --na-values default .nb"
    ):
        fitted(y=[*map(str, range(100)), "nb", "nb"])


def test_numbers_with_words_for_missing_ones_are_numbers():
    encoding, y, _ = fitted(y=[*(f"{k}.5" for k in range(60)), "NA"])
    assert encoding.task == "regression"
    assert np.isnan(y[-1])


@pytest.mark.parametrize(
    ("task", "values", "said"),
    [
        ("auto", ["a", "a", None], "'y' has a single class in the training rows: 'a'"),
        ("auto", pl.Series([None, None], dtype=pl.String), "has no class in the training rows"),
        ("regression", [None, float("nan")], "has no number in the training rows"),
    ],
)
def test_nothing_to_learn_is_refused(task, values, said):
    with pytest.raises(InputError, match=said):
        fitted(task, y=values)


def test_an_unknown_task_or_column_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'regression'"):
        fitted("regresion", y=[1.5, 2])
    with pytest.raises(InputError, match=r"no target column 'Y' \(the nearest is 'y'\)"):
        fit_target(pl.DataFrame({"y": [1, 2]}), ["Y"])
    with pytest.raises(InputError, match="No target is named"):
        fit_target(pl.DataFrame({"y": [1, 2]}), [])


def test_labels_mean_the_same_in_every_type():
    numbers, _ = fit_target(pl.DataFrame({"y": [3, 4]}), ["y"])
    for values in ([4, 3], [4.0, 3.0], ["4", "3"], ["4.0", "3.00"]):
        assert encode_target(numbers, pl.DataFrame({"y": values})).tolist() == [1, 0]
    words, _ = fit_target(pl.DataFrame({"y": ["True", "False"]}), ["y"])
    assert encode_target(words, pl.DataFrame({"y": [True, False]})).tolist() == [1, 0]


def test_a_label_that_training_never_saw_is_named():
    encoding, _, _ = fitted(y=["a", "b"])
    with pytest.raises(InputError) as caught:
        encode_target(encoding, pl.DataFrame({"y": ["a", "c"]}), first_row=10)
    said = "Column 'y' has 'c' in row 11, which is not one of the classes: 'a', 'b'."
    assert str(caught.value) == said


@pytest.mark.parametrize("values", [["a", "b"], [1.5, 2.5]])
def test_a_missing_target_is_refused_unless_allowed(values):
    encoding, _, _ = fitted(y=values)
    with pytest.raises(InputError, match=r"'y' has no value in row 1 \(1 such rows\)"):
        encode_target(encoding, pl.DataFrame({"y": [values[0], None]}))
