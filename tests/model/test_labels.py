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
from mlp_jax.data.streams.arrays import open_npy
from mlp_jax.data.table import Table
from mlp_jax.data.tables.targets import fit_target
from mlp_jax.errors import InputError
from mlp_jax.model.labels import find_classes
from mlp_jax.model.model_folder import load_model, save_model
from mlp_jax.model.saved import Model

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
TRUTH = np.arange(60) % 2
LABELS = {
    "int64": TRUTH,
    "uint8": TRUTH.astype(np.uint8),
    "bool": TRUTH.astype(bool),
    "float64": TRUTH.astype(np.float64),
    "int16": TRUTH.astype(np.int16),
    "uint64": TRUTH.astype(np.uint64),
    "float32": TRUTH.astype(np.float32),
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
    assert found.dtype == y.dtype or kind == "text"  # as long as its longest label
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
    with pytest.raises(InputError, match="label '2' in row 3 is not a class"):
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


def table_model(y):
    """A model of two classes whose target is a column of a table."""
    target, _ = fit_target(pl.DataFrame({"y": y}), ["y"], task="classification")
    return Model(**{**vars(binary_model()), "target": target})


DAYS = np.array(["2024-02-29", "2025-03-01"], "datetime64[D]")


@pytest.mark.parametrize(
    "labels",
    [
        DAYS,
        DAYS.astype("datetime64[ms]") + np.timedelta64(90, "m"),
        DAYS.astype("datetime64[ns]") + np.timedelta64(7, "ns"),
        np.array([0.1, 2.5], np.float32),
        np.array([2**63, 2**63 + 1], np.uint64),
        np.array([-128, 127], np.int8),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_a_column_keep_its_type_and_are_judged_by_their_value(labels, tmp_path):
    y = labels[TRUTH]
    save_model(tmp_path / "model", table_model(y))
    model = load_model(tmp_path)
    found = model.predict(X)
    assert found.dtype == labels.dtype
    assert set(found.tolist()) == set(labels.tolist())
    expected = float(np.mean(found == y))
    assert model.evaluate((X, y), ["accuracy"])["accuracy"] == pytest.approx(expected)


def test_labels_beyond_int64_are_told_apart_in_arrays():
    y = np.array([2**63, 2**63 + 1], np.uint64)[TRUTH]
    data = from_arrays("far", X, y, test=(X, TRUTH.astype(np.uint64) + np.uint64(2**63)))
    assert data.classes == (str(2**63), str(2**63 + 1))
    np.testing.assert_array_equal(data.train.y, TRUTH)
    assert array_target(data, data.train.y).label_values().tolist() == [2**63, 2**63 + 1]
    with pytest.raises(InputError, match="whole numbers within int64, but row 1 has 1e\\+30"):
        from_arrays("far", X, np.where(TRUTH, 1e30, 1.0), task="classification")


def test_labels_beyond_int64_are_told_apart_in_files_of_arrays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.array([5, 2**63 + 1], np.uint64)[TRUTH])
    source = open_npy(tmp_path / "x.npy", tmp_path / "y.npy", task="classification")
    assert (source.classes, source.label_type) == (("5", str(2**63 + 1)), "uint64")
    np.testing.assert_array_equal(source.read(np.arange(60)).y, TRUTH)
