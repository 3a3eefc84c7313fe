"""Features without polars are those that the tables' own encoding gives."""

import datetime
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.options import SCALINGS, ColumnOptions
from mlp_jax.errors import InputError
from mlp_jax.model.given_columns import given_columns
from mlp_jax.model.plain_features import plain_features
from mlp_jax.model.rows import as_frame

N = 60
MOMENTS = pd.date_range("2021-03-01", periods=N, freq="11h")
COLUMNS = {
    "number": np.linspace(-3, 5, N),
    "whole": np.arange(N) // 2,
    "dollars": [
        f"-${i},{i:03d}.5" if i % 4 else "tbd" if i == 8 else f"${i}.25" for i in range(1, N + 1)
    ],
    "german": [f"{i}.{i:03d},75 €" for i in range(1, N + 1)],
    "day first": [moment.strftime("%d.%m.%Y") for moment in MOMENTS],
    "twelve hours": [moment.strftime("%m/%d/%Y %I:%M:%S %p") for moment in MOMENTS],
    "zip": ["02139", "10115", "2139", "-", "unknown"] * (N // 5),
    "gaps": [None if i % 7 == 0 else i / 2 for i in range(N)],
    "spelled": [f" {i / 8} " if i % 5 else "NA" for i in range(N)],
    "yes": ["yes" if i % 3 else "No" for i in range(N)],
    "flag": [None if i % 8 == 0 else i % 2 == 0 for i in range(N)],
    "word": ["red", "green", "", None, "7"] * (N // 5),
    "code": pd.Categorical(np.arange(N) % 4),
    "moment": MOMENTS,
    "day": [moment.date() for moment in MOMENTS],
    "iso": [moment.isoformat() + ("Z" if i % 2 else "+02:00") for i, moment in enumerate(MOMENTS)],
    "zoned": MOMENTS.tz_localize("Asia/Tokyo"),
    "span": pd.to_timedelta(np.arange(N) * 90, unit="s"),
    "clock": [datetime.time(i % 24, i % 60, 0, i) for i in range(N)],
}
FRAME = pd.DataFrame(COLUMNS)
OTHER = {
    "number": ["1.5", "x"], "whole": [True, False], "gaps": [np.nan, 3], "spelled": [4, 5.5],
    "yes": [True, "0"], "flag": ["t", "null"], "word": [7.0, "unseen"], "code": ["3", 2.0],
    "dollars": ["$1,234.5", "TBD", "1.5", "€5"], "german": ["1.234,5", "12 €", 7.5, "1,5,5"],
    "day first": ["1.2.2021", "31.02.2021", "2021-02-03"],
    "twelve hours": ["1/2/2021 12:05 am", "NA"],
    "zip": ["02139", 2139, 10115, "010115", "NA", 10115.0],
    "moment": ["2021-03-04", "?"], "iso": [datetime.date(2021, 3, 1), None],
}  # fmt: skip


@pytest.mark.parametrize("scaling", SCALINGS)
def test_rows_of_a_frame_have_the_same_features(scaling):
    frame = as_frame(FRAME)
    encoding, _ = fit_encoding(frame, options=ColumnOptions(scaling=scaling))
    for rows in (FRAME, frame, COLUMNS):
        found = plain_features(encoding, given_columns(rows))
        np.testing.assert_allclose(found, encode(encoding, frame), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", OTHER)
def test_values_of_another_type_are_read_alike_or_refused_alike(name):
    encoding, _ = fit_encoding(as_frame(FRAME[[name]]))
    for value in OTHER[name]:
        rows = {name: [value]}
        columns = given_columns(rows)
        said, expected = outcome(partial(encode, encoding, as_frame(rows), first_row=5))
        said_here, found = outcome(partial(plain_features, encoding, columns, first_row=5))
        assert said_here == said
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def outcome(call):
    """(the refusal or "", the features or none)."""
    try:
        return "", call()
    except InputError as refusal:
        return str(refusal), np.zeros(0)


def test_a_missing_column_is_named():
    encoding, _ = fit_encoding(as_frame(FRAME))
    with pytest.raises(InputError, match="no column 'whole'"):
        plain_features(encoding, given_columns(FRAME.drop(columns="whole")))
