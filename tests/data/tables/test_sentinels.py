"""Numbers that stand for what is missing are told, and ordinary columns are left alone."""

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.streams import frames
from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.sentinels import ExtremeValues

RNG = np.random.default_rng(0)
N = 4000
AGES = RNG.integers(17, 90, N).astype(float)


def told(values, chunks=1, times=None):
    ends = ExtremeValues()
    for part in np.array_split(values, chunks):
        ends.add(part)
    return ends.notes("age")


def with_value(value, rows):
    return np.where(np.isin(np.arange(N), rows), value, AGES)


@pytest.mark.parametrize("chunks", [1, 7, 400])
@pytest.mark.parametrize("value", [-999.0, 9999.0, 1e6])
@pytest.mark.parametrize("rows", [range(5, 1500, 41), (3990, 3995), range(0, 3800, 2)])
def test_a_value_far_from_all_others_is_told_with_its_rows(value, rows, chunks):
    assert told(with_value(value, rows), chunks) == (
        f"Column 'age': {len(rows)} rows hold {value:.6g}, far from all others (--na-values default"
        f" {value:.6g} counts it as missing).",
    )


@pytest.mark.parametrize("chunks", [1, 9])
def test_one_at_each_end_is_told_too(chunks):
    values = np.where(np.arange(N) % 50 == 1, -999, with_value(99999, range(0, N, 60)))
    said = told(values, chunks)
    assert [note.split(",")[0] for note in said] == [
        f"Column 'age': {np.count_nonzero(values == far)} rows hold {far}" for far in (99999, -999)
    ]


ORDINARY = {
    "ages": AGES,
    "normal": RNG.normal(size=N),
    "lognormal": np.round(RNG.lognormal(0, 2, N), 1),
    "cauchy": RNG.standard_cauchy(N),
    "counts": RNG.poisson(0.3, N).astype(float),
    "mostly 0": np.where(RNG.random(N) < 0.9, 0, 1e6 + RNG.random(N)),
    "two values": np.where(RNG.random(N) < 0.5, 0.0, 1e6),
    "grades": RNG.choice([1.0, 2, 3, 4, 5, 6, 100], N),
    "one outlier": with_value(1e6, [7]),
    "near": with_value(-1, range(0, N, 9)),
    "pareto": np.round(RNG.pareto(1.0, N)),
}


@pytest.mark.parametrize("chunks", [1, 7])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_are_left_alone(name, chunks):
    assert told(ORDINARY[name], chunks) == ()


@pytest.mark.parametrize("text", [False, True])
def test_a_table_tells_it_in_memory_and_as_a_stream(tmp_path, monkeypatch, text):
    monkeypatch.setattr(frames, "_TEXT_BYTES", 2000)
    values = with_value(-999, range(5, 1500, 41))
    mark = "€" if text else ""
    frame = pl.DataFrame({"age": [f"{v:.0f}{mark}" for v in values], "y": (AGES > 40).tolist()})
    frame.write_csv(tmp_path / "t.csv")
    expected = told(values)[0]
    streamed = fit_table(open_frames(tmp_path / "t.csv"), ["y"])[2]
    held = fit_encoding(frame, targets=["y"])[1]
    assert (streamed.count(expected), held.count(expected)) == (1, 1)
