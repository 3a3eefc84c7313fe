"""Rows a second of `mlp-jax predict` on a CSV of 30 columns through a 256-256 network, and memory.

The file is made here, of normal numbers with 5 decimals, and the model is saved with random
weights. Each run is a process of its own: what it takes for a tenth of the rows is taken off, so
that start-up and compiling do not count; the peak of its memory is asked of the system for both.
Beside it what a plain copy of polars takes, which reads the same columns and writes one of them.

    python benchmarks/predict_speed.py --rounds 3 --json benchmarks/results/predict_speed.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import polars as pl

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.bench.machine import describe, median_and_quartiles
from mlp_jax.data.encoding import NumericColumn, TableEncoding, TargetEncoding
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model

COLUMNS = tuple(f"column_{j}" for j in range(30))
COPY = """
import sys, polars as pl
names = [f"column_{j}" for j in range(30)]
scan = pl.scan_csv(sys.argv[1], schema_overrides=dict.fromkeys(names, pl.Float64))
first = True
with open(sys.argv[2], "wb") as file:
    for frame in scan.collect_batches(chunk_size=1 << 16, lazy=True):
        frame.select(names[0]).write_csv(file, include_header=first)
        first = False
"""


class Took(NamedTuple):
    """Wall time of a process and the peak of its memory."""

    seconds: float
    megabytes: float


def make_model(folder: Path) -> None:
    """A run's folder with a model of random weights."""
    network = mlp([256, 256], 2)
    inputs = TableEncoding(tuple(NumericColumn(name) for name in COLUMNS), ())
    target = TargetEncoding("classification", ("answer",), ("no", "yes"))
    params, state = network.init(jax.random.key(0), len(COLUMNS))
    loss = get_loss("softmax_cross_entropy")
    save_model(folder / "model", Model(network, loss, params, state, inputs, target))


def make_rows(path: Path, n: int) -> None:
    """A CSV of n rows, written a million at a time."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, n, 1_000_000):
            x = rng.standard_normal((min(1_000_000, n - start), len(COLUMNS)), dtype=np.float32)
            frame = pl.DataFrame(x, schema=list(COLUMNS))
            frame.write_csv(file, include_header=start == 0, float_precision=5)


def took(words: list[str]) -> Took:
    """A process from start to end."""
    started = time.perf_counter()
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Took(time.perf_counter() - started, peak)


def high_water(pid: int) -> float:
    """The peak of a process's memory so far, in megabytes, as Linux counts it (VmHWM)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    few = options.rows // 10
    runs: dict[str, list[dict[str, float]]] = {"mlp-jax predict": [], "polars copy": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "run")
        files = {n: folder / f"{n}.csv" for n in (few, options.rows)}
        for n, path in files.items():
            make_rows(path, n)
        gigabytes = files[options.rows].stat().st_size / 1e9
        out = str(folder / "out.csv")
        predict = [sys.executable, "-m", "mlp_jax", "predict", str(folder / "run")]
        for _ in range(options.rounds):
            for what in runs:
                ends = {}
                for n, path in files.items():
                    words = [*predict, "--input", str(path), "--output", out, "--overwrite"]
                    if what == "polars copy":
                        words = [sys.executable, "-c", COPY, str(path), out]
                    ends[n] = took(words)
                more = ends[options.rows].seconds - ends[few].seconds
                runs[what].append(
                    {
                        "rows_per_second": (options.rows - few) / more,
                        "seconds": ends[options.rows].seconds,
                        "peak_megabytes": ends[options.rows].megabytes,
                        "peak_megabytes_of_a_tenth": ends[few].megabytes,
                    }
                )
                print(what, {key: round(value, 1) for key, value in runs[what][-1].items()})
    result = {
        "command": f"python benchmarks/predict_speed.py --rows {options.rows}"
        f" --rounds {options.rounds}",
        "machine": describe(),
        "rows": options.rows,
        "file_gigabytes": gigabytes,
        "rounds": options.rounds,
        "figures": {
            what: {key: median_and_quartiles([run[key] for run in each]) for key in each[0]}
            for what, each in runs.items()
        },
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
