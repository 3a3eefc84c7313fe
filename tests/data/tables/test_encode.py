"""Encodings applied to tables that look different and mean the same."""

import numpy as np
import polars as pl
import pytest
from table_cases import people

from mlp_jax.data.tables.encode import BLOCK, encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.errors import InputError

FRAME = people()
ENCODING, _ = fit_encoding(FRAME, targets=["income"])
X = encode(ENCODING, FRAME)


def test_columns_are_matched_by_name_whatever_their_order():
    shuffled = FRAME.select(reversed(FRAME.columns)).with_columns(more=pl.lit(1))
    np.testing.assert_array_equal(encode(ENCODING, shuffled), X)


def test_rows_are_encoded_one_by_one():
    for start, length in ((0, 1), (7, 30), (399, 1)):
        part = encode(ENCODING, FRAME.slice(start, length))
        np.testing.assert_array_equal(part, X[start : start + length])
    assert encode(ENCODING, FRAME.head(0)).shape == (0, X.shape[1])


def test_a_table_longer_than_a_block_is_its_pieces():
    long = pl.concat([FRAME] * (2 * BLOCK // FRAME.height + 2))
    np.testing.assert_array_equal(encode(ENCODING, long), np.tile(X, (long.height // len(X), 1)))


def test_everything_as_text_is_the_same_table():
    np.testing.assert_array_equal(encode(ENCODING, FRAME.cast(pl.String)), X)


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"no column 'age' \(the nearest is 'Age'\)\."):
        encode(ENCODING, FRAME.rename({"age": "Age"}))
    with pytest.raises(InputError, match=r"no column 'age' and 'since'\."):
        encode(ENCODING, FRAME.drop("age", "since"))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("age", "old", "Column 'age' has 'old' in row 103, which is not a number."),
        ("member", "perhaps", "Column 'member' has 'perhaps' in row 103, which is not true or"),
        ("since", "March", "Column 'since' has 'March' in row 103, which is not a date like"),
        ("since", "2020-02-30", "Column 'since' has '2020-02-30' in row 103"),
    ],
)
def test_a_value_that_a_column_cannot_hold_is_named(column, value, said):
    text = FRAME.cast(pl.String)[:5].with_columns(
        pl.Series(column, [*FRAME[column].cast(pl.String)[:3], value, None])
    )
    with pytest.raises(InputError) as caught:
        encode(ENCODING, text, first_row=100)
    assert said in str(caught.value)


def test_a_date_in_a_column_of_numbers_is_refused():
    days = FRAME.with_columns(age=pl.col("since").str.to_date())
    with pytest.raises(
        InputError, match=r"Column 'age' has '20\d\d-.*' in row 0, which is not a n"
    ):
        encode(ENCODING, days)


CODES = pl.DataFrame({"v": [3, 10, 3, 10, 7, 7] * 5})


@pytest.mark.parametrize(
    "values",
    [
        [3, 10, 8, None],
        [3.0, 10.0, 8.0, None],
        [3.0, 10.0, 8.0, float("nan")],
        ["3", "10", "8", None],
        ["3.0", "10.0", "8", ""],
        pl.Series(["3", "10", "8", None], dtype=pl.Categorical),
        pl.Series([3, 10, 8, None], dtype=pl.UInt8),
        pl.Series([3, 10, 8, None]).cast(pl.Decimal(5, 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("learned", [pl.Int64, pl.Float64, pl.String, pl.Categorical], ids=str)
def test_a_category_of_digits_is_the_same_in_every_type(learned, values):
    frame = CODES.with_columns(pl.col("v").cast(pl.String).cast(learned))
    encoding, _ = fit_encoding(frame, kinds={"v": "categorical"})
    assert set(encoding.categorical[0].categories) == {"3", "7", "10"}
    codes = encode(encoding, pl.DataFrame({"v": values}))[:, 0]
    names = ("", *encoding.categorical[0].categories)
    assert [names[int(code)] for code in codes] == ["3", "10", "", ""]


def test_categories_that_differ_only_as_text_stay_apart():
    (
        encoding,
        x,
    ) = fit_encoding(pl.DataFrame({"v": ["03", "3", "x"] * 5}))[0], None
    frame = pl.DataFrame({"v": ["03", "3", "x"]})
    x = encode(encoding, frame)
    assert len(set(x[:, 0])) == 3
    assert encode(encoding, pl.DataFrame({"v": [3]}))[0, 0] == x[1, 0]


@pytest.mark.parametrize(
    "values", [[1, 0], [1.0, 0.0], ["True", "FALSE"], [True, False], ["y", "n"]]
)
def test_booleans_are_the_same_in_every_spelling(values):
    encoding, _ = fit_encoding(pl.DataFrame({"v": ["yes", "no"]}))
    np.testing.assert_array_equal(encode(encoding, pl.DataFrame({"v": values})), [[1], [-1]])


def test_columns_that_are_all_missing_encode_like_missing_values():
    empty = pl.DataFrame({name: [None] for name in FRAME.columns})
    x = encode(ENCODING, empty)
    assert np.isfinite(x).all()
    assert x[0, -2:].tolist() == [4, 0]  # town had missing values in training, street had none
