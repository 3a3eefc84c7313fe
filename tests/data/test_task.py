"""Whether the numbers of a target are classes: one rule for tables and arrays."""

import numpy as np
import polars as pl
import pytest
from sklearn.utils.multiclass import type_of_target

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.prepare import prepare
from mlp_jax.data.streams.opening import StreamSettings, prepare_stream
from mlp_jax.data.table import Table
from mlp_jax.data.tables.targets import fit_target
from mlp_jax.errors import InputError

RNG = np.random.default_rng(0)


def task_of(values, name="y"):
    frame = pl.DataFrame({name: values})
    encoding, notes = fit_target(frame, [name])
    return encoding, notes


@pytest.mark.parametrize(
    "values",
    [
        [0, 1] * 20,
        [0.0, 1.0] * 20,
        [1.0, 2.0] * 20,
        [-1, 1] * 20,
        [2, 4] * 20,
        [1.0, 2.0, 3.0] * 20,
        [0, 1, 2] * 20,
        [10, 20, 30] * 20,
    ],
    ids=str,
)
def test_two_or_few_whole_numbers_are_classes_as_scikit_learn_has_them(values):
    encoding, notes = task_of(values)
    assert type_of_target(values) in ("binary", "multiclass")
    assert encoding.task == "classification"
    assert "different whole numbers" in notes[0]
    assert "--task regression" in notes[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", RNG.integers(100, 1000, 4000)),
        ("days", RNG.permutation(np.arange(45)).repeat(10)),
        ("count", RNG.integers(0, 10, 500)),
        ("count", RNG.poisson(2.0, 2000)),
        ("year", 1990 + RNG.integers(0, 8, 500)),
        ("quality", RNG.integers(3, 10, 500)),
        ("price", RNG.integers(100, 1000, 4000).astype(float)),
        ("age", np.arange(20)),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_whole_numbers_that_do_not_look_like_labels_are_predicted_as_numbers(name, values):
    encoding, notes = task_of(values, name)
    assert encoding.task == "regression"
    assert notes[0].startswith(f"Target '{name}': regression, since it holds")
    assert "--task classification" in notes[0]


def test_more_labels_are_classes_where_they_count_up_or_the_column_is_called_so():
    assert task_of(np.arange(1, 8).repeat(10), "kind")[0].task == "classification"
    assert task_of(np.arange(26).repeat(10), "letter")[0].task == "regression"
    for name in ("class", "Label", "digit_class", "soil label"):
        encoding, notes = task_of(np.arange(26).repeat(10), name)
        assert encoding.task == "classification"
        assert f"it is called '{name}'" in notes[0]
    assert task_of(np.arange(26).repeat(10), "classic")[0].task == "regression"


def test_a_rare_tail_is_that_of_a_count():
    values = np.repeat(np.arange(7), [500, 300, 150, 60, 20, 5, 2])
    assert task_of(values, "visits")[0].task == "regression"


def test_fractions_are_numbers():
    encoding, notes = task_of([0.5, 1.0, 2.0] * 20)
    assert encoding.task == "regression"
    assert notes == ("Target 'y': regression, since it holds numbers with fractions.",)


@pytest.mark.parametrize("word", ["", "NA", "nan", "?", "-", "null", "n/a", "None", " NA "])
@pytest.mark.parametrize("values", [["0", "1"] * 30, [f"{k / 7:.3f}" for k in range(60)]])
def test_a_word_for_a_missing_value_is_no_class_and_changes_no_task(word, values):
    clean, _ = task_of(values)
    encoding, _ = task_of([*values, word])
    assert (encoding.task, encoding.classes) == (clean.task, clean.classes)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array([0.0, 1.0] * 10), "classification"),
        (np.array([1.0, 2.0, 3.0] * 10, np.float32), "classification"),
        (np.array([-1, 1] * 10), "classification"),
        (np.arange(10, dtype=np.uint8).repeat(4), "classification"),  # digits
        (np.arange(10.0).repeat(4), "regression"),  # a count
        (RNG.integers(100, 1000, 400), "regression"),
        (np.array([0.5, 1.5] * 10), "regression"),
        (np.array([True, False] * 10), "classification"),
    ],
    ids=str,
)
def test_arrays_follow_the_rule_and_an_array_of_whole_numbers_counts_labels_from_0(y, task):
    found = from_arrays("t", np.zeros((len(y), 1)), y)
    assert ("classification" if found.is_classification else "regression") == task
    if y.dtype.kind != "b":
        assert task in found.notes[0]
        assert "since it" in found.notes[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series([12345678901234567890 + k % 3 for k in range(30)], dtype=pl.UInt64), "uint64"),
        (pl.Series([2**40 + k % 3 for k in range(30)]), "integer"),
    ],
    ids=["beyond int64", "within"],
)
def test_labels_of_whole_numbers_of_any_size_are_told_apart(values, kind):
    encoding, notes = task_of(values)
    assert (encoding.task, len(encoding.classes)) == ("classification", 3)
    assert encoding.label_type == kind
    assert set(encoding.label_values().tolist()) == set(values.to_list())
    assert "3 different whole numbers" in notes[0]


def test_spans_of_time_are_numbers_and_dates_no_target():
    spans = pl.Series([k * 90 for k in range(40)]).cast(pl.Duration("ms"))
    assert task_of(spans)[0].task == "regression"
    days = pl.Series(range(40)).cast(pl.Date)
    with pytest.raises(
        InputError, match="Target 'y' holds dates: predict a number derived from them"
    ):
        task_of(days)


SAID = "Target {} is 3.5 in every training row: there is nothing to learn."


@pytest.mark.parametrize("stream", [False, True])
def test_a_number_to_predict_that_never_changes_is_told(tmp_path, stream):
    frame = pl.DataFrame({"a": RNG.normal(size=60), "b": RNG.normal(size=60), "c": [3.5] * 60})
    frame.write_csv(tmp_path / "t.csv")

    def notes(*targets):
        if stream:
            return prepare_stream(
                str(tmp_path / "t.csv"), StreamSettings(0.2, 0.1, 0, targets=targets)
            ).notes
        table = Table("t", frame, targets)
        return prepare(table, test=0.2, validation=0.1, seed=0).notes

    assert notes("c").count(SAID.format("'c'")) == 1
    assert notes("b", "c").count(SAID.format("'c'")) == 1
    assert not any("nothing to learn" in note for note in notes("b"))


@pytest.mark.parametrize("stream", [False, True])
def test_an_array_of_numbers_that_never_changes_is_told(tmp_path, stream):
    y = np.stack([np.full(60, 3.5), RNG.normal(size=60)], axis=1)
    for chosen, name in ((y, "y[0]"), (y[:, 0], "y")):
        if stream:
            np.save(tmp_path / "x.npy", y)
            np.save(tmp_path / "y.npy", chosen)
            notes = prepare_stream(str(tmp_path), StreamSettings(0.2, 0.1, 0)).notes
        else:
            notes = prepare(from_arrays("t", y, chosen), test=0.2, validation=0.1, seed=0).notes
        assert notes.count(SAID.format(name)) == 1
