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
from mlp_jax.errors import InputError

N = 1000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 2
CHOSEN = RNG.random(N) < 0.7
CHOSEN[200:400] = False  # blocks of nothing


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


def test_a_part_of_arrays_holds_the_chosen_rows(tmp_path):
    part = ArrayPart(arrays(tmp_path), CHOSEN)
    np.testing.assert_array_equal(part.read(np.arange(len(part))).x, X[CHOSEN])
    assert sorted(all_rows(part).tolist()) == sorted(X[CHOSEN].tolist())


def test_a_part_of_a_table_holds_the_chosen_rows(tmp_path, monkeypatch):
    part = FramesPart(table(tmp_path, monkeypatch), CHOSEN)
    found = pl.concat([part.read(k, ["a", "b", "c"]) for k in range(len(part.starts) - 1)])
    np.testing.assert_array_equal(found.to_numpy(), X[CHOSEN])
    assert (np.diff(part.starts) > 0).all()


def test_what_is_learned_of_a_part_is_of_its_rows_alone(tmp_path, monkeypatch):
    wide = X[CHOSEN].astype(np.float64)
    inputs, _ = fit_arrays(ArrayPart(arrays(tmp_path), CHOSEN))
    np.testing.assert_allclose(inputs.scale, 1 / wide.std(axis=0), rtol=1e-12)
    part = FramesPart(table(tmp_path, monkeypatch), CHOSEN)
    encoding, target, _ = fit_table(part, ["y"])
    centers = [column.center for column in encoding.numeric]
    np.testing.assert_allclose(centers, wide.mean(axis=0), rtol=1e-12)
    rows = all_rows(TableSource(part, encoding, target))
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    assert len(rows) == CHOSEN.sum()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [(CHOSEN[1:], "has 1000 rows, but 999 were chosen from"), (CHOSEN & False, "No row of 'x'")],
)
def test_a_part_that_cannot_be_is_refused(tmp_path, chosen, message):
    with pytest.raises(InputError, match=message):
        ArrayPart(arrays(tmp_path), chosen)
