"""Labels keep their type in predictions and are compared by value when a model is judged."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_cases import binary_model
from sklearn.metrics import accuracy_score

from mlp_jax.data import from_arrays
from mlp_jax.data.prepare import array_target
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError
from mlp_jax.model.labels import find_classes
from mlp_jax.model.saved import Model, load_model, save_model

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
TRUTH = np.arange(60) % 2
LABELS = {
    "int64": TRUTH,
    "uint8": TRUTH.astype(np.uint8),
    "bool": TRUTH.astype(bool),
    "float64": TRUTH.astype(np.float64),
    "text": TRUTH.astype(str),
}


def model_for(y, task="classification") -> Model:
    """A model of two classes whose target is learned from these labels."""
    data = from_arrays("labels", X, y, task=task)
    return Model(**{**vars(binary_model()), "target": array_target(data, data.train.y)})


@pytest.mark.parametrize("kind", LABELS)
def test_a_loaded_model_predicts_labels_of_the_type_that_it_was_trained_on(kind, tmp_path):
    y = LABELS[kind]
    save_model(tmp_path / "model", model_for(y))
    found = load_model(tmp_path).predict(X)
    expected = (model_for(y).predictions(X)[:, 0] > 0.5).astype(int)
    assert found.dtype.kind == {"uint8": "i"}.get(kind, y.dtype.kind)
    np.testing.assert_array_equal(found.astype(y.dtype) == y, expected == TRUTH)
    assert 0 < accuracy_score(y, found.astype(y.dtype)) < 1
    assert set(found.tolist()) <= set(y.tolist())


def test_labels_of_named_classes_are_their_names():
    data = from_arrays("named", X, TRUTH, classes=["cat", "dog"])
    assert array_target(data, data.train.y).label_values().tolist() == ["cat", "dog"]


def test_names_that_only_repeat_the_numbers_leave_labels_numbers():
    data = from_arrays("counted", X, TRUTH, classes=["0", "1"])
    assert array_target(data, data.train.y).label_values().tolist() == [0, 1]


@pytest.mark.parametrize("asked", LABELS)
@pytest.mark.parametrize("fitted", LABELS)
def test_equal_labels_of_another_type_are_judged_alike(fitted, asked):
    model = model_for(LABELS[fitted])
    expected = accuracy_score(TRUTH, model.predictions(X)[:, 0] > 0.5)
    assert model.evaluate((X, LABELS[asked]))["accuracy"] == pytest.approx(expected)
    data = from_arrays("judged", X, LABELS[asked], task="classification")
    assert model.evaluate(data)["accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("asked", LABELS)
@pytest.mark.parametrize("fitted", ["bool", "int64", "float64"])
def test_labels_in_a_column_are_judged_by_value(fitted, asked, library):
    model = model_for(LABELS[fitted])
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": LABELS[asked]}
    frame = pl.DataFrame(columns)
    expected = model.evaluate((X, LABELS[fitted]))["accuracy"]
    table = Table("judged", frame, ("y",))
    named = replace(model, inputs=replace(model.inputs, feature_names=("a", "b", "c")))
    assert named.evaluate(table)["accuracy"] == pytest.approx(expected)
    owned = replace(named, target=replace(named.target, names=("y",)))
    found = owned.evaluate(library.DataFrame(columns))["accuracy"]
    assert found == pytest.approx(expected)


def test_a_label_is_looked_up_by_its_text_before_its_value():
    classes = ("007", "7", "42", "true", "1e3", "nan")
    assert find_classes(classes, ["007", "7", "7.0", "42.0", "1", "1000", "nan", "inf"]) == [
        0, 1, None, 2, 3, 4, 5, None,
    ]  # fmt: skip
    assert find_classes(("9007199254740993",), ["9007199254740992"]) == [None]
    assert find_classes(("1000",), ["1_000"]) == [None]


def test_an_unknown_label_is_named_with_its_row():
    with pytest.raises(InputError, match="label '2' in row 3 is unknown"):
        model_for(TRUTH).evaluate((X[:4], np.array([0, 1, 0, 2])))


def test_boxed_labels_and_bytes_are_labels_too():
    model = model_for(LABELS["text"])
    expected = model.evaluate((X, TRUTH))["accuracy"]
    for same in (TRUTH.astype(object), TRUTH.astype("S1"), pd.Series(TRUTH, dtype="Int64")):
        assert model.evaluate((X, same))["accuracy"] == expected


def test_training_and_test_labels_that_differ_in_type_alone_are_the_same_classes():
    for train, test in (("bool", "int64"), ("int64", "bool"), ("uint8", "float64")):
        data = from_arrays("both", X, LABELS[train], test=(X, LABELS[test]), task="classification")
        assert len(data.classes) == 2
        np.testing.assert_array_equal(data.test.y, TRUTH)
