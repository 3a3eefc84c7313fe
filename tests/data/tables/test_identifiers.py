"""Columns that number the rows are left out, with a note."""

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.identifiers import is_identifier_name

N = 60
RNG = np.random.default_rng(0)
COUNTS = {
    "": np.arange(N),
    "Unnamed: 0": np.arange(N),
    "row": np.arange(N) + 1,
    "shuffled": RNG.permutation(N) + 100,
    "customer_id": RNG.choice(10**6, N, replace=False),
    "id": [str(v) for v in RNG.choice(10**6, N, replace=False)],
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_column_that_numbers_the_rows_is_left_out_with_a_note(name):
    frame = pl.DataFrame({name: COUNTS[name], "use": RNG.normal(size=N)})
    encoding, notes = fit_encoding(frame)
    assert encoding.ignored == (name,)
    assert "is ignored: it numbers the rows" in notes[0]
    assert f"--numeric '{name}' keeps it" in notes[0]
    kept, _ = fit_encoding(frame, kinds={name: "numeric"})
    assert kept.column_names == (name, "use")


@pytest.mark.parametrize(
    "values",
    [
        RNG.integers(0, 40, N),
        RNG.choice(10**6, N, replace=False),
        np.arange(N) * 1.0,
        np.arange(N) // 2,
    ],
    ids=["repeats", "all different", "fractions could be", "pairs"],
)
def test_other_whole_numbers_stay(values):
    encoding, _ = fit_encoding(pl.DataFrame({"weight": values}))
    assert encoding.column_names == ("weight",)


def test_names_that_end_like_an_identifier_but_are_words_are_none():
    assert all(map(is_identifier_name, ("ID", "user_id", "userId", "order-key", "Index", "")))
    assert not any(map(is_identifier_name, ("grid", "acid", "paid", "humid", "monkey", "keyword")))


def test_a_stream_leaves_out_what_counts_up_too(tmp_path):
    frame = pl.DataFrame({
        "": np.arange(N), "order_id": np.sort(RNG.choice(10**6, N, replace=False)),
        "use": RNG.normal(size=N), "y": ["a", "b"] * (N // 2),
    })  # fmt: skip
    frame.write_csv(tmp_path / "t.csv")
    inputs, _, notes = fit_table(open_frames(tmp_path / "t.csv"), ["y"])
    assert inputs.ignored == ("", "order_id")
    assert sum("it numbers the rows" in note for note in notes) == 2


@pytest.mark.parametrize(
    "values",
    [
        [None, *range(1000, 1000 + 3 * (N - 1), 3)],
        [1000, *range(1000, 1000 + 3 * (N - 1), 3)],
        [float(k) for k in range(N)],
    ],
    ids=["one missing", "one twice", "whole floats"],
)
def test_a_column_called_an_identifier_may_have_gaps(values):
    frame = pl.DataFrame({"user_id": values, "use": RNG.normal(size=N)})
    assert fit_encoding(frame)[0].ignored == ("user_id",)


def test_whole_numbers_that_float64_does_not_tell_apart_are_no_counter(tmp_path):
    values = pl.Series([2**63 + k * 7 % 13 for k in range(N)], dtype=pl.UInt64)
    frame = pl.DataFrame({"big": values, "use": RNG.normal(size=N), "y": ["a", "b"] * (N // 2)})
    frame.write_parquet(tmp_path / "t.parquet")
    _, _, notes = fit_table(open_frames(tmp_path / "t.parquet"), ["y"])
    assert not any("numbers the rows" in note for note in notes)
