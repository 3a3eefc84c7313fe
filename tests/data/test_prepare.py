"""Rows split and encoded, learned from the training rows alone."""

import itertools
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent / "tables"))
from table_cases import people

from mlp_jax.data import Dataset, Split, fit_scaling, load_digits, split
from mlp_jax.data.encoding import TargetEncoding
from mlp_jax.data.prepare import prepare
from mlp_jax.data.splits import TRAIN
from mlp_jax.data.table import Table
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.errors import InputError

FRAME = people(600).with_row_index("row")
KINDS = {"row": "numeric"}  # else it is left out, for it numbers the rows
TABLE = Table("people", FRAME, ("income",), kinds=KINDS)


def prepared(frame=FRAME, targets=("income",), **options):
    options = {"test": 0.2, "validation": 0.1, "seed": 3} | options
    kinds = KINDS if "row" in frame.columns else {}
    return prepare(Table("people", frame, targets, kinds=kinds), **options)


def rows_of(part, parts):
    """The numbers of a part's rows, from the feature that holds them."""
    column = next(c for c in parts.inputs.numeric if c.name == "row")
    at = [c.name for c in parts.inputs.numeric].index("row")
    assert at == 0
    return np.rint(part.x[:, 0] / np.float32(column.scale) + column.center).astype(int).tolist()


def test_the_parts_are_disjoint_complete_and_stratified():
    parts = prepared()
    found = [rows_of(part, parts) for part in (parts.train, parts.validation, parts.test)]
    assert sorted(itertools.chain(*found)) == list(range(600))
    assert [len(rows) for rows in found] == [420, 60, 120]
    assert all(rows == sorted(rows) for rows in found)
    assert parts.test_rows.tolist() == found[2]
    share = FRAME["income"].eq(">50K").mean()
    for part in (parts.train, parts.validation, parts.test):
        assert abs(np.mean(part.y) - share) < 0.02
    np.testing.assert_array_equal(parts.test.y, FRAME["income"].eq(">50K").to_numpy()[found[2]])


def test_the_same_seed_gives_the_same_parts_and_another_others():
    np.testing.assert_array_equal(prepared().train.x, prepared().train.x)
    assert prepared().test_rows.tolist() != prepared(seed=4).test_rows.tolist()


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_nothing_of_the_held_out_rows_reaches_the_encoding(scaling):
    """The values of all rows but the training rows are changed wildly: training sees nothing."""
    options = ColumnOptions(scaling=scaling, one_hot_up_to=4)
    before = prepared(options=options)
    held_out = np.ones(600, bool)
    held_out[rows_of(prepared().train, prepared())] = False
    chosen = pl.lit(pl.Series(held_out))
    wild = FRAME.with_columns(
        age=pl.when(chosen).then(10**9).otherwise("age"),
        weight=pl.when(chosen).then(-1e12).otherwise("weight"),
        town=pl.when(chosen).then(pl.lit("Atlantis")).otherwise("town"),
        street=pl.when(chosen).then(pl.lit(None)).otherwise("street"),
        member=pl.when(chosen).then(pl.lit("yes")).otherwise("member"),
        since=pl.when(chosen).then(pl.lit("1066-10-14")).otherwise("since"),
    )
    after = prepared(wild, options=options)
    assert after.inputs == before.inputs
    assert after.target == before.target
    np.testing.assert_array_equal(after.train.x, before.train.x)
    np.testing.assert_array_equal(after.train.y, before.train.y)
    assert not np.array_equal(after.test.x, before.test.x)
    town = next(column for column in before.inputs.categorical if column.name == "town")
    at = before.inputs.n_numeric + [c.name for c in before.inputs.categorical].index("town")
    assert (after.test.x[:, at] == town.rare).all()


def test_nothing_of_the_held_out_targets_reaches_the_scale():
    frame = FRAME.with_columns(income=pl.col("age") * 1.5)
    before = prepared(frame)
    held_out = np.ones(600, bool)
    held_out[rows_of(before.train, before)] = False
    wild = frame.with_columns(
        income=pl.when(pl.lit(pl.Series(held_out))).then(1e15).otherwise("income")
    )
    after = prepared(wild)
    assert after.target == before.target
    y = before.train.y
    np.testing.assert_allclose(
        (before.target.offset[0], before.target.scale[0]), (y.mean(), y.std()), rtol=1e-12
    )


def test_a_column_can_say_the_parts():
    part = pl.Series(["Train", "valid ", "TEST", "train", "val", "validation"] * 100)
    parts = prepared(FRAME.with_columns(fold=part), split_column="fold")
    wanted = {"train": (0, 3), "validation": (1, 4, 5), "test": (2,)}
    for name, places in wanted.items():
        rows = rows_of(getattr(parts, name), parts)
        assert rows == [row for row in range(600) if row % 6 in places]
    assert "fold" in parts.inputs.ignored
    assert "fold" not in parts.inputs.column_names


def test_a_column_without_validation_rows_leaves_them_to_be_drawn():
    part = pl.Series(["train", "train", "test"] * 200)
    parts = prepared(FRAME.with_columns(fold=part), split_column="fold", validation=None)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (360, 40, 200)
    assert (
        prepared(FRAME.with_columns(fold=part), split_column="fold", validation=0.0).validation
        is None
    )


def test_wrong_splits_are_refused():
    part = pl.Series(["train", "holdout"] * 300)
    with pytest.raises(InputError, match=r"'fold' has 'holdout' in row 1, which is not train, val"):
        prepared(FRAME.with_columns(fold=part), split_column="fold")
    with pytest.raises(InputError, match="names no row for training"):
        prepared(FRAME.with_columns(fold=pl.lit("test")), split_column="fold")
    with pytest.raises(InputError, match=r"no column 'twon' \(the nearest is 'town'\) to split by"):
        prepared(group_column="twon")
    with pytest.raises(InputError, match="'income' is the target, so rows cannot be split by it"):
        prepared(group_column="income")
    with pytest.raises(InputError, match="by a column or by groups, not by both"):
        prepared(group_column="town", split_column="street")
    with pytest.raises(InputError, match="at least 3 groups, not 2"):
        prepared(group_column="income", targets=("member",), frame=FRAME.drop_nulls("member"))


def test_no_group_is_in_two_parts():
    parts = prepared(group_column="street")
    streets = FRAME["street"].to_list()
    found = [
        {streets[row] for row in rows_of(part, parts)}
        for part in (parts.train, parts.validation, parts.test)
    ]
    assert sum(map(len, found)) == 30
    assert abs(len(parts.test) - 120) <= 20
    assert abs(len(parts.validation) - 60) <= 20
    assert "street" in parts.inputs.ignored


def test_a_class_that_only_test_rows_have_is_named():
    part = pl.Series(["train"] * 400 + ["test"] * 200)
    income = [*FRAME["income"][:500], "lots", *FRAME["income"][501:]]
    frame = FRAME.with_columns(fold=part, income=pl.Series(income))
    with pytest.raises(
        InputError, match="Column 'income' has 'lots' in row 500, which is not one of"
    ):
        prepared(frame, split_column="fold")


def test_rows_without_a_target_are_left_out_with_a_note():
    income = [None, "", *FRAME["income"][2:]]
    parts = prepared(FRAME.with_columns(income=pl.Series(income)))
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 598
    assert parts.notes[1] == "2 rows are left out: the target is missing."
    assert not {0, 1} & set(parts.test_rows.tolist())


def test_test_rows_of_its_own_stay_the_test_rows():
    own = people(50, seed=9).with_row_index("row")
    table = Table("people", FRAME, ("income",), test=own, kinds=KINDS)
    parts = prepare(table, test=0.2, validation=0.1, seed=0)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (540, 60, 50)
    assert parts.test_rows is None


def test_known_encodings_are_applied_and_not_fitted():
    first = prepared()
    known = (first.inputs, first.target)
    other = prepared(people(300, seed=5).with_row_index("row"), known=known)
    assert (other.inputs, other.target) == known
    again = prepared(known=known)
    np.testing.assert_array_equal(again.train.x, first.train.x)


def test_an_unasked_validation_share_is_a_tenth_and_at_most_2000_rows():
    assert len(prepared(validation=None).validation) == 60
    long = pl.DataFrame({"a": [0.5, 1, 2] * 10_000, "y": ["p", "q"] * 15_000})
    assert len(prepared(long, ("y",), validation=None).validation) == 2000


def test_arrays_are_split_as_split_does_and_scaled_later():
    digits = load_digits()
    parts = prepare(digits, test=0.2, validation=0.1, seed=7)
    peer = split(digits, test=0.2, validation=0.1, seed=7)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(parts, name).x, getattr(peer, name).x)
        np.testing.assert_array_equal(getattr(parts, name).y, getattr(peer, name).y)
    scaling = fit_scaling(peer.train.x, pixels=True)
    assert (parts.inputs.scale, parts.inputs.offset) == ((scaling.scale,), (scaling.offset,))
    assert parts.inputs.pixels == (digits.train.x.dtype == np.uint8)
    assert parts.inputs.image_shape == (8, 8)
    assert parts.target == TargetEncoding("classification", (), digits.classes, label_type="uint8")
    np.testing.assert_array_equal(digits.train.x[parts.test_rows], parts.test.x)


def test_numbers_to_predict_from_arrays_are_standardized():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(5, 2, size=(50, 2))
    parts = prepare(Dataset("a", Split(x, y), None, (), None), test=0.2, validation=0.0, seed=0)
    assert parts.validation is None
    np.testing.assert_allclose(parts.target.offset, parts.train.y.mean(axis=0))
    np.testing.assert_allclose(parts.target.scale, parts.train.y.std(axis=0))
    labels = (y > 5).astype(np.float32)
    parts = prepare(
        Dataset("a", Split(x, labels), None, (), None), test=0.2, validation=0.0, seed=0
    )
    assert parts.target == TargetEncoding("multilabel")


def test_arrays_have_no_column_to_split_by():
    with pytest.raises(InputError, match="'digits' has no column 'fold' to split by"):
        prepare(load_digits(), test=0.2, validation=None, seed=0, split_column="fold")


SHARES = {"test": 0.2, "validation": 0.1, "seed": 0}


def test_a_target_far_out_is_named_before_any_training():
    frame = FRAME.with_columns(income=pl.when(pl.col("row") == 7).then(1e300).otherwise("age"))
    part = pl.Series(["train", "test"] * 300)
    with pytest.raises(InputError, match=r"Target 'income' has 1e\+300 in row 7, too far"):
        prepared(frame.with_columns(fold=part), split_column="fold")
    y = np.linspace(-1, 1, 100)
    parts = prepare(Dataset("near", Split(np.ones((100, 2)), y), None, (), None), **SHARES)
    row = int(np.flatnonzero(parts.part == TRAIN)[-1])
    for letter, place in (("x", ", column 1 of x"), ("y", " of y")):
        far = np.where(np.arange(100) == row, 1e200, y)
        x, targets = (np.stack([y, far], 1), y) if letter == "x" else (np.ones((100, 2)), far)
        with pytest.raises(InputError, match=rf"Row {row}{place} is 1e\+200, too widely spread"):
            prepare(Dataset("far", Split(x, targets), None, (), None), **SHARES)


def test_a_target_of_a_table_whose_spread_float64_does_not_hold_is_named():
    part = pl.Series(["train", "test"] * 300)
    frame = FRAME.with_columns(
        income=pl.when(pl.col("row") == 8).then(-1e200).otherwise("age"), fold=part
    )
    with pytest.raises(InputError, match=r"Target 'income' has -1e\+200 in row 8, too far from"):
        prepared(frame, split_column="fold")
