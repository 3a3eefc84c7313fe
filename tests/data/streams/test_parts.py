import numpy as np
import polars as pl
import pytest

from mlp_jax.data.streams import (
    ArrayPart,
    FramesPart,
    Stream,
    TableSource,
    fit_arrays,
    fit_table,
    keys_of,
    open_frames,
    open_npy,
)
from mlp_jax.data.streams import frames as frames_module
from mlp_jax.data.streams.parts import HeldOut, drawn_rows
from mlp_jax.errors import InputError

N = 1000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 2
CHOSEN = RNG.random(N) < 0.7
CHOSEN[200:400] = False  # blocks of nothing
HELD_OUT = np.flatnonzero(~CHOSEN)


def arrays(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return open_npy(folder / "x.npy", folder / "y.npy")


def table(folder, monkeypatch):
    monkeypatch.setattr(frames_module, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(frames_module, "_LEAST_ROWS", 64)
    frame = pl.from_numpy(X, ["a", "b", "c"]).with_columns(y=pl.Series(Y))
    frame.write_parquet(folder / "t.parquet", row_group_size=90)
    return open_frames(folder / "t.parquet")


def all_rows(source):
    with Stream(source, 50).epoch(keys_of(0, 0)) as epoch:
        stacks = list(epoch)
    weights = np.concatenate([s.weights.reshape(-1) for s in stacks])
    x = np.concatenate([s.x.reshape(-1, 3) for s in stacks])
    return x[weights == 1]


def test_a_part_of_arrays_holds_the_rows_not_held_out(tmp_path):
    part = ArrayPart(arrays(tmp_path), HELD_OUT)
    np.testing.assert_array_equal(part.read(np.arange(len(part))).x, X[CHOSEN])
    assert sorted(all_rows(part).tolist()) == sorted(X[CHOSEN].tolist())


def test_a_part_of_a_table_holds_the_rows_not_held_out(tmp_path, monkeypatch):
    part = FramesPart(table(tmp_path, monkeypatch), HELD_OUT)
    found = pl.concat([part.read(k, ["a", "b", "c"]) for k in range(len(part.starts) - 1)])
    np.testing.assert_array_equal(found.to_numpy(), X[CHOSEN])
    assert (np.diff(part.starts) > 0).all()


def test_what_is_learned_of_a_part_is_of_its_rows_alone(tmp_path, monkeypatch):
    wide = X[CHOSEN].astype(np.float64)
    inputs, _ = fit_arrays(ArrayPart(arrays(tmp_path), HELD_OUT))
    np.testing.assert_allclose(inputs.scale, 1 / wide.std(axis=0), rtol=1e-12)
    part = FramesPart(table(tmp_path, monkeypatch), HELD_OUT)
    encoding, target, _ = fit_table(part, ["y"])
    centers = [column.center for column in encoding.numeric]
    np.testing.assert_allclose(centers, wide.mean(axis=0), rtol=1e-12)
    rows = all_rows(TableSource(part, encoding, target))
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    assert len(rows) == CHOSEN.sum()


@pytest.mark.parametrize("make", [arrays, table])
def test_a_part_without_rows_is_refused(tmp_path, monkeypatch, make):
    source = arrays(tmp_path) if make is arrays else table(tmp_path, monkeypatch)
    part = ArrayPart if make is arrays else FramesPart
    with pytest.raises(InputError, match=f"All {N} rows of '{source.name}' are held out"):
        part(source, np.arange(N))


@pytest.mark.parametrize("passed", [True, False], ids=["after a pass", "without one"])
def test_the_rows_held_out_are_kept_in_a_pass_over_the_others(tmp_path, monkeypatch, passed):
    frames = table(tmp_path, monkeypatch)
    passing = HeldOut(frames, HELD_OUT, 1 << 20)
    reads = []
    if passed:
        fit_table(passing, ["y"])
        monkeypatch.setattr(
            frames, "read", lambda *a, read=frames.read: reads.append(a) or read(*a)
        )
    numbers, parts = zip(*passing.rows(["b", "y"]), strict=True)
    found = pl.concat(parts)
    np.testing.assert_array_equal(np.concatenate(numbers), HELD_OUT)
    np.testing.assert_array_equal(found["b"].to_numpy(), X[HELD_OUT][:, 1])
    np.testing.assert_array_equal(found["y"].to_numpy(), Y[HELD_OUT])
    whole = [
        k for k, n in enumerate(np.diff(frames.starts)) if not CHOSEN[frames.starts[k] :][:n].any()
    ]
    assert [number for number, _ in reads] == (
        whole if passed else []
    )  # the pass did not read them


def test_rows_to_hold_out_are_as_many_as_asked_disjoint_and_of_the_seed():
    a, b = drawn_rows(10_000, (300, 500), 1)
    assert (len(a), len(b)) == (300, 500)
    assert len(set(a.tolist()) | set(b.tolist())) == 800
    assert (np.diff(a) > 0).all()
    assert max(a.max(), b.max()) < 10_000
    again, _ = drawn_rows(10_000, (300, 500), 1)
    other, _ = drawn_rows(10_000, (300, 500), 2)
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, other)
    assert abs(np.mean([*a, *b]) - 5000) < 5 * 10_000 / np.sqrt(12 * 800)
