"""Columns as pandas, polars, dicts and lists have them."""

import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_cases import colour_model

from mlp_jax.errors import InputError
from mlp_jax.model.rows import as_frame

DAY = datetime.datetime(2024, 2, 29, 13, 30)


def boxed(*values):
    return pd.Series(list(values), dtype=object)


def column(values):
    """The polars column that a pandas column, and a dict of one, become."""
    found = as_frame(pd.DataFrame({"c": values})).get_column("c")
    again = as_frame({"c": values}).get_column("c")
    assert found.dtype == again.dtype
    assert found.equals(again)
    return found


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (pd.Categorical([2, 10, 2]), ["2", "10", "2"]),
        (pd.Categorical([0.5, 3.0, None]), ["0.5", "3", None]),
        (pd.Categorical([True, False]), ["true", "false"]),
        (pd.Categorical(["2024-01-01", "2024-02-01"]), ["2024-01-01", "2024-02-01"]),
        (pd.cut([0.5, 1.5, 9.0], [0, 1, 2]), ["(0, 1]", "(1, 2]", None]),
        (boxed(*pd.interval_range(0, 2)), ["(0, 1]", "(1, 2]"]),
        (boxed(UUID(int=1)), ["00000000-0000-0000-0000-000000000001"]),
        (boxed(Path("/a/b"), None), ["/a/b", None]),
        (boxed("a", 1, 2.5, 3.0, True, None), ["a", "1", "2.5", "3", "true", None]),
        (pd.Series(["a", None, "b"], dtype="string"), ["a", None, "b"]),
    ],
)
def test_words_and_declared_categories_are_text(values, levels):
    found = column(values)
    assert found.cast(pl.String).to_list() == levels
    assert isinstance(found.dtype, pl.Enum) == (isinstance(values, pd.Categorical))


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (boxed(1, 2, 3), [1, 2, 3]),
        (boxed(1, 2.5, True), [1, 2.5, 1]),
        (boxed(1, None, np.float32(0.1)), [1, np.nan, float(np.float32(0.1))]),
        (boxed(2**70, 1), [2.0**70, 1]),
        (boxed(Decimal("1.25"), Decimal("NaN")), [1.25, np.nan]),
        (pd.Series([1, None], dtype="Int64"), [1, np.nan]),
        (pd.arrays.SparseArray([0.0, 1.5]), [0, 1.5]),
        (np.array([0.5, 1], np.float16), [0.5, 1]),
        (np.array([0.5, 1], np.longdouble), [0.5, 1]),
    ],
)
def test_objects_that_are_all_numbers_are_numbers(values, numbers):
    found = column(values)
    assert found.dtype.is_numeric()
    np.testing.assert_array_equal(found.cast(pl.Float64).fill_null(np.nan).to_numpy(), numbers)


@pytest.mark.parametrize(
    "values",
    [
        *(np.array([DAY, None], f"datetime64[{unit}]") for unit in ("s", "ms", "us", "ns")),
        pd.Series([pd.Timestamp(DAY), pd.NaT]),
        pd.Series([pd.Timestamp(DAY, tz="UTC").tz_convert("Asia/Tokyo"), pd.NaT]),
        pd.Series([pd.Period(DAY, "min"), pd.NaT], dtype="period[min]"),
        boxed(DAY, None),
        boxed(np.datetime64(DAY), np.datetime64("NaT")),
        boxed(DAY.replace(tzinfo=datetime.UTC), None),
        [DAY, None],
    ],
)
def test_moments_of_any_resolution_and_zone_are_moments_of_utc(values):
    found = column(values)
    assert found.to_list() == [DAY, None]


def test_dates_and_spans_of_time_stay_what_they_are():
    assert column(boxed(DAY.date(), None)).dtype == pl.Date
    assert column(boxed(DAY.date(), DAY)).to_list() == [datetime.datetime(2024, 2, 29), DAY]
    for values in (np.array([90, 0], "timedelta64[s]"), boxed(*pd.to_timedelta([90, 0], "s"))):
        assert column(values).dt.total_seconds().to_list() == [90, 0]
    far = np.array(["1500-01-01", "3000-01-01"], "datetime64[s]")
    assert column(far).dt.year().to_list() == [1500, 3000]


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {1}, b"a", 1j, np.ones(2), object()])
def test_what_no_column_can_hold_is_refused_by_name(value):
    from mlp_jax.data.tables.fit import fit_encoding

    with pytest.raises(InputError, match="olumn 'c'"):
        fit_encoding(as_frame(pd.DataFrame({"c": boxed(value, value), "d": [1, 2]})))


def test_names_of_any_type_are_text():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    assert as_frame(frame).columns == ["('a', 1)", "('a', 2)"]
    assert as_frame(pd.DataFrame([[1, 2]])).columns == ["0", "1"]
    for unnamed in (pd.DataFrame({"": [1]}), {"": [1]}, pl.DataFrame({"": [1]})):
        assert as_frame(unnamed).columns == [""]


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
def test_two_columns_of_one_name_are_refused_by_name(names):
    frame = pd.DataFrame([[1, 2]], columns=names)
    with pytest.raises(InputError, match=f"Two columns are called '{names[1]}': rename"):
        colour_model().predict(frame)


@pytest.mark.parametrize("library", [pd, pl])
def test_a_series_is_refused_with_the_remedy(library):
    with pytest.raises(InputError, match="A Series is a single column: give a DataFrame"):
        colour_model().predict(library.Series([1.0, 2.0, 3.0, 4.0]))


def test_boxed_rows_predict_as_plain_ones():
    model, x = colour_model(), np.random.default_rng(0).normal(size=(5, 4))
    expected = model.predict_proba(x)
    frame = pd.DataFrame(x, columns=list("abcd"))
    for rows in (x.astype(object), frame.astype(object), frame.astype("category")):
        np.testing.assert_array_equal(model.predict_proba(rows), expected)
