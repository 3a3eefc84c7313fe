"""What is learned from columns, against scikit-learn and pandas."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, RobustScaler, StandardScaler
from table_cases import people

from mlp_jax.data.streams.opening import StreamSettings, prepare_stream
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.options import ColumnOptions, embedding_width
from mlp_jax.data.tables.read import read_table
from mlp_jax.errors import InputError, UnknownNameError

RNG = np.random.default_rng(0)
HEAVY = RNG.standard_t(2, size=900) * 40 + 7


def encoded(values, options=ColumnOptions(), **kinds):  # noqa: B008
    """The features of a single column, with one that varies beside it."""
    frame = pl.DataFrame({"v": values})
    encoding, notes = fit_encoding(frame, kinds=kinds, options=options)
    return encoding, encode(encoding, frame), notes


def test_standard_is_scikit_learns():
    _, x, _ = encoded(HEAVY)
    expected = StandardScaler().fit_transform(HEAVY[:, None])
    np.testing.assert_allclose(x, expected, atol=1e-6, rtol=1e-6)


def test_robust_is_scikit_learns_with_a_smooth_clip():
    _, x, _ = encoded(HEAVY, ColumnOptions(scaling="robust"))
    s = RobustScaler().fit_transform(HEAVY[:, None])
    np.testing.assert_allclose(x, s / np.sqrt(1 + (s / 3) ** 2), atol=1e-6, rtol=1e-6)
    assert np.abs(x).max() < 3


def test_robust_takes_half_the_range_where_most_values_are_equal():
    values = np.array([0.0] * 20 + [4.0])
    encoding, _, _ = encoded(values, ColumnOptions(scaling="robust"))
    assert encoding.numeric[0].scale == 2 / 4
    assert encoding.numeric[0].center == 0


def test_quantile_is_scikit_learns_between_the_ends():
    _, x, _ = encoded(HEAVY, ColumnOptions(scaling="quantile"))
    peer = QuantileTransformer(n_quantiles=30, output_distribution="normal", subsample=None)
    expected = peer.fit_transform(HEAVY[:, None])
    inside = np.abs(expected) < 1.5
    np.testing.assert_allclose(x[inside], expected[inside], atol=0.02)
    order = np.argsort(HEAVY)
    assert (np.diff(x[order, 0]) >= 0).all()
    np.testing.assert_allclose([x.min(), x.max()], [-5.2, 5.2], rtol=1e-6)


def test_quantiles_that_many_rows_share_have_one_knot():
    values = np.array([0.0] * 500 + list(range(1, 501)))
    encoding, x, _ = encoded(values, ColumnOptions(scaling="quantile"))
    column = encoding.numeric[0]
    assert len(set(column.knots)) == len(column.knots) == len(column.scores)
    assert abs(np.median(x) - x[values == 0][0]) < 0.7
    assert abs(x[values == 0][0] - -0.67) < 0.06  # the middle of the lower half: Φ⁻¹(1/4)


def test_missing_numbers_become_the_mean_and_are_marked():
    values = [1.0, None, 3.0, float("nan"), float("inf"), 8.0]
    encoding, x, _ = encoded(values)
    known = StandardScaler().fit(np.array([[1.0], [3.0], [8.0]]))
    np.testing.assert_allclose(x[[0, 2, 5], 0], known.transform([[1], [3], [8]])[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(x[[1, 3, 4]], [[0, 1]] * 3)
    np.testing.assert_array_equal(x[[0, 2, 5], 1], 0)
    assert encoding.n_features == 2


def test_a_number_missing_only_later_becomes_the_mean():
    encoding, _, _ = encoded([1.0, 2.0, 6.0])
    np.testing.assert_array_equal(encode(encoding, pl.DataFrame({"v": [None, 3.0]})), 0)


def test_whole_numbers_that_float32_cannot_count_stay_apart():
    values = [2**40 + k for k in range(10)]
    _, x, _ = encoded(values)
    np.testing.assert_allclose(np.diff(x[:, 0]), 1 / np.std(range(10)), rtol=1e-5)


def test_categories_are_scikit_learns_ordinals():
    values = RNG.choice(["b", "a", "c"], 100)
    encoding, x, _ = encoded(values)
    peer = OneHotEncoder(sparse_output=False).fit(values[:, None])
    assert encoding.categorical[0].categories == tuple(peer.categories_[0])
    np.testing.assert_array_equal(
        np.eye(3)[x[:, 0].astype(int) - 1], peer.transform(values[:, None])
    )
    assert encoding.categorical[0].width == 0


def test_rare_categories_share_a_code_that_unseen_ones_take():
    values = ["a"] * 9 + ["b"] * 6 + ["c"] * 2 + ["d"] + [None] * 3
    encoding, x, notes = encoded(values)
    column = encoding.categorical[0]
    assert (column.categories, column.rare, column.missing, column.n_codes) == (("a", "b"), 3, 4, 4)
    assert x[:, 0].tolist() == [1] * 9 + [2] * 6 + [3] * 3 + [4] * 3
    assert notes == (
        "Column 'v': 2 of 4 categories are rare and share the code of unknown categories"
        " (3 training rows).",
    )
    later = encode(encoding, pl.DataFrame({"v": ["z", None, "b"]}))
    assert later[:, 0].tolist() == [3, 4, 2]


def test_what_training_never_saw_has_code_0_where_nothing_was_rare_or_missing():
    encoding, _, _ = encoded(["a"] * 6 + ["b"] * 6)
    assert encode(encoding, pl.DataFrame({"v": ["z", None]}))[:, 0].tolist() == [0, 0]


def test_only_the_most_frequent_categories_keep_their_code():
    counts = pd.Series(RNG.zipf(1.5, 3000) % 50).astype(str)
    options = ColumnOptions(max_categories=7, one_hot_up_to=7)
    encoding, _, _ = encoded(counts.to_list(), options, v="categorical")
    column = encoding.categorical[0]
    assert set(column.categories) == set(counts.value_counts().index[:7])
    assert column.n_codes == 8
    assert column.width == embedding_width(8) == 5


def test_the_width_of_an_embedding_is_fastais():
    assert [embedding_width(n) for n in (17, 42, 1000, 10**9)] == [8, 13, 77, 600]


def test_constant_and_missing_columns_are_ignored_with_a_note():
    frame = pl.DataFrame(
        {
            "one": [1] * 6,
            "word": ["w"] * 6,
            "yes": ["true"] * 6,
            "none": [None] * 6,
            "blank": ["", None] * 3,
            "nan": [float("nan")] * 6,
            "id": [f"id{k}" for k in range(6)],
            "day": ["2020-02-02"] * 6,
            "use": [1, 2, 3, 4, 5, 6],
        }
    )
    encoding, notes = fit_encoding(frame)
    assert encoding.column_names == ("use",)
    assert set(encoding.ignored) == set(frame.columns) - {"use"}
    assert [note.partition(" is ignored: ")[2] for note in notes] == [
        "it is 1 in every training row.",
        "it is 'w' in every training row.",
        "it is true in every training row.",
        *["every value is missing."] * 3,
        "none of its 6 categories occurs in 5 or more training rows, the most frequent one in 1; it"
        " looks like an identifier (--rare 1 keeps categories with 1 row).",
        "it is 18294 in every training row.",
    ]
    encode(encoding, pl.DataFrame({"use": [1]}))


def test_a_constant_that_is_sometimes_missing_keeps_its_mark():
    _, x, _ = encoded([5, None, 5, 5])
    np.testing.assert_array_equal(x, [[0, 0], [0, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    "values",
    [
        [True, False, None, True],
        ["true", "False", None, "TRUE"],
        ["yes", "no", "", "Yes"],
        ["Y", "N", None, "Y"],
    ],
)
def test_booleans_are_found_in_their_words_and_become_plus_and_minus_one(values):
    encoding, x, _ = encoded(values)
    assert encoding.numeric[0].boolean
    np.testing.assert_array_equal(x, [[1, 0], [-1, 0], [0, 1], [1, 0]])


def test_dates_are_days_and_waves_of_year_week_and_day():
    moments = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=37 * k) for k in range(400)]
    encoding, x, _ = encoded(moments)
    parts = [column.part for column in encoding.numeric]
    waves = ["year_sin", "year_cos", "week_sin", "week_cos", "day_sin", "day_cos"]
    assert parts == ["days", *waves]
    days = pd.to_datetime(pd.Series(moments)).to_numpy().astype("datetime64[s]").astype(float)
    days /= 86400
    expected = [(days - days.mean()) / days.std()]
    for period in (365.2425, 7, 1):
        expected += [np.sin(2 * np.pi * days / period), np.cos(2 * np.pi * days / period)]
    np.testing.assert_allclose(x, np.array(expected).T, atol=2e-6)


def test_dates_in_iso_text_are_found_and_are_the_same_dates():
    text = [
        "2021-03-04T05:06:07.5+02:00",
        "2020-02-29",
        None,
        "1969-12-31 23:30",
        "2021-07-01T00:00Z",
    ]
    utc = [
        datetime.datetime(2021, 3, 4, 3, 6, 7, 500000),
        datetime.datetime(2020, 2, 29),
        None,
        datetime.datetime(1969, 12, 31, 23, 30),
        datetime.datetime(2021, 7, 1),
    ]
    encoding, x, _ = encoded(text)
    other, y, _ = encoded(utc)
    assert encoding == other
    np.testing.assert_array_equal(x, y)
    assert (x[2] == [0, 1, 0, 0, 0, 0, 0, 0]).all()


def test_words_for_nothing_and_spaces_leave_dates_dates():
    encoding, x, _ = encoded(["2020-02-29", "NA", " 2021-07-01", None, "?"])
    other, y, _ = encoded([datetime.date(2020, 2, 29), None, datetime.date(2021, 7, 1), None, None])
    assert encoding == other
    np.testing.assert_array_equal(x, y)


def test_whole_days_have_no_wave_of_the_day():
    encoding, _, _ = encoded(["2020-01-01", "2020-05-05", "2021-07-07"])
    assert not any(column.part.startswith("day_") for column in encoding.numeric)


def test_numbers_that_stand_as_text_are_numbers():
    encoding, x, _ = encoded([" 1", "2.5", "NA", "1e1", "?", None])
    assert encoding.numeric[0].scaling == "standard"
    np.testing.assert_array_equal(x[:, 1], [0, 0, 1, 0, 1, 1])
    expected = StandardScaler().fit_transform([[1], [2.5], [10]])[:, 0]
    np.testing.assert_allclose(x[[0, 1, 3], 0], expected, rtol=1e-6)


def test_spans_decimals_and_categoricals_have_their_kind():
    frame = pl.DataFrame(
        {
            "span": [datetime.timedelta(days=k) for k in range(10)],
            "time": [datetime.time(k) for k in range(10)],
            "price": pl.Series(range(10)).cast(pl.Decimal(10, 2)),
            "word": pl.Series(["a", "b"] * 5, dtype=pl.Categorical),
            "large": pl.Series([2**70 + k * 2**60 for k in range(10)], dtype=pl.Int128),
        }
    )
    encoding, _ = fit_encoding(frame)
    assert [column.name for column in encoding.numeric] == ["span", "time", "price", "large"]
    x = encode(encoding, frame)
    for column in range(4):
        np.testing.assert_allclose(x[:, column], (np.arange(10) - 4.5) / np.std(range(10)), 1e-5)


def test_words_that_spoil_a_column_of_numbers_are_told_of():
    values = [*map(str, range(100)), *(f"n.b. {k}" for k in range(20))]
    _, notes = fit_encoding(pl.DataFrame({"v": values, "w": [0.5, 1.5] * 60}))
    assert notes[0] == (
        "Column 'v' holds numbers, but also text like 'n.b. 0': it is read as categories"
        " (--na-values sets words that count as missing)."
    )
    assert "ignored" in notes[1]


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_numbers_too_far_apart_for_float64_are_refused(scaling):
    with pytest.raises(InputError, match=r"'v', from -1e\+308 to 1e\+308 \(row 0\), is too wide"):
        encoded([1e308, -1e308] * 5, ColumnOptions(scaling=scaling))


def test_kinds_can_be_set():
    values = [1, 2, 3, 1, 2, 3] * 5
    assert encoded(values, v="categorical")[0].categorical[0].categories == ("1", "2", "3")
    assert encoded(["0", "1"] * 5, v="boolean")[0].numeric[0].boolean
    with pytest.raises(UnknownNameError, match="Did you mean 'numeric'"):
        encoded(values, v="numerical")
    with pytest.raises(InputError, match="'w' was given, but there is no such column"):
        encoded(values, w="numeric")
    with pytest.raises(InputError, match=r"Column 'v' has 'b' in row 1, which is not a number\."):
        encoded(["1", "b", "3"], v="numeric")


def test_columns_that_are_no_values_are_refused():
    with pytest.raises(InputError, match=r"'v' holds List\(Int64\).*drop it"):
        encoded([[1], [2]])


def test_a_table_without_any_use_is_refused():
    with pytest.raises(InputError, match="No column is usable"):
        encoded([1, 1])
    with pytest.raises(InputError, match="No column is usable"):
        fit_encoding(pl.DataFrame({"y": [1, 2]}), targets=["y"])


def test_only_the_chosen_rows_are_looked_at():
    frame = people()
    chosen = np.arange(frame.height) % 3 > 0
    by_rows = fit_encoding(frame, targets=["income"], rows=chosen)
    assert by_rows == fit_encoding(frame.filter(pl.Series(chosen)), targets=["income"])


def test_wrong_options_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'robust'"):
        ColumnOptions(scaling="robus")
    with pytest.raises(InputError, match="rare must be at least 1"):
        ColumnOptions(rare=0)


@given(
    st.lists(
        st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(float("nan"))), min_size=2, max_size=40
    ),
    st.sampled_from(["standard", "robust", "quantile"]),
)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_features_are_finite_whatever_the_numbers(values, scaling):
    frame = pl.DataFrame({"v": pl.Series(values, dtype=pl.Float64), "w": range(len(values))})
    encoding, _ = fit_encoding(frame, options=ColumnOptions(scaling=scaling))
    x = encode(encoding, frame)
    assert x.shape == (len(values), encoding.n_features)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_parquet_file_calls_a_category_is_one_whatever_it_looks_like(tmp_path, stream):
    digits = [*"0123"] * 30
    code = pl.Series(digits, dtype=pl.Categorical)
    frame = pl.DataFrame({"code": code, "digits": digits, "y": ["a", "b"] * 60})
    frame.write_parquet(tmp_path / "t.parquet")
    if stream:
        asked = StreamSettings(test=0.2, validation=0.1, seed=0, targets=("y",))
        inputs = prepare_stream(str(tmp_path / "t.parquet"), asked).inputs
    else:
        table = read_table(tmp_path / "t.parquet", targets=["y"])
        inputs, _ = fit_encoding(table.frame, targets=["y"], kinds=table.kinds)
    assert [column.name for column in inputs.categorical] == ["code"]
    assert [column.name for column in inputs.numeric] == ["digits"]


def test_many_levels_of_digits_that_are_declared_categories_need_no_note():
    levels = [str(k) for k in range(60)]
    values = pl.Series(levels * 6, dtype=pl.Enum(levels))
    encoding, notes = fit_encoding(pl.DataFrame({"v": values}))
    assert len(encoding.categorical[0].categories) == 60
    assert notes == ()
