"""Streaming in a process of its own, whose memory may not grow to the size of the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROWS, WIDTH = 600_000, 128  # 307 MB of float32
BOUND = 150e6  # bytes beyond those of the process before it opens the file

STREAM = """
import sys
from pathlib import Path
import grain, polars, numpy as np
from mlp_jax.data.streams.arrays import open_npy
from mlp_jax.data.streams import frames as frames_module
from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.streams.order import keys_of
from mlp_jax.data.streams.statistics import streaming_scaling
from mlp_jax.data.streams.stream import Stream
from mlp_jax.data.streams.tables import TableSource

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

folder, kind = Path(sys.argv[1]), sys.argv[2]
before = peak()
if kind == "npy":
    source = open_npy(folder / "x.npy", folder / "y.npy")
    scaling = streaming_scaling(source)
else:
    frames_module._BLOCK_BYTES = 1 << 23
    frames = open_frames(folder / "table.parquet")
    inputs, target, _ = fit_table(frames, ["y"])
    source = TableSource(frames, inputs, target)
rows = 0
with Stream(source, 1000, steps=4, ahead=2, threads=2, window=2).epoch(keys_of(0, 0)) as epoch:
    for stack in epoch:
        rows += int(stack.weights.sum())
print(rows, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    x = np.random.default_rng(0).random((ROWS, WIDTH), np.float32)
    y = (np.arange(ROWS) % 2).astype(np.int64)
    if kind == "npy":
        np.save(tmp_path / "x.npy", x)
        np.save(tmp_path / "y.npy", y)
    else:
        frame = pl.from_numpy(x, schema=[str(k) for k in range(WIDTH)])
        frame.with_columns(y=pl.Series(y)).write_parquet(
            tmp_path / "table.parquet", row_group_size=20_000
        )
    assert x.nbytes > 2 * BOUND
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path), kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown < BOUND
