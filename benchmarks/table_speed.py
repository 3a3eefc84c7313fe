"""Seconds and memory from a CSV of mixed columns to arrays that are ready to train.

Beside it what `polars.read_csv` takes on the same file, in the same run, interleaved, each in a
process of its own. Memory is the highest resident size beyond that before the file is touched,
divided by the size of the arrays; the file is in the page cache.

    python benchmarks/table_speed.py --rounds 5 --json benchmarks/results/table_speed.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from mlp_jax.bench.machine import describe, median_and_quartiles

MEASURE = """
import sys, time
from pathlib import Path
import polars as pl
{imports}
def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))
path = Path(sys.argv[1])
before, started = resident("VmRSS"), time.perf_counter()
{run}
seconds = time.perf_counter() - started
print(seconds, resident("VmHWM") - before, {size})
"""
POLARS = MEASURE.format(imports="", run="frame = pl.read_csv(path)", size="0")
OURS = MEASURE.format(
    imports="""
from mlp_jax.data.prepare import prepare
from mlp_jax.data.tables import encode, fit, split, targets
from mlp_jax.data.tables.read import read_table
""",
    run="rows = prepare(read_table(path), test=0.2, validation=None, seed=0)",
    size="sum(p.x.nbytes + p.y.nbytes for p in (rows.train, rows.validation, rows.test))",
)


def write_table(path: Path, n_rows: int) -> None:
    """24 floats, 2 whole numbers, 3 categories and a label."""
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {
        f"float_{k}": rng.standard_normal(n_rows) * 10.0 ** rng.integers(-2, 4) for k in range(24)
    }
    columns["small"] = rng.integers(0, 100, n_rows)
    columns["large"] = rng.integers(0, 10**7, n_rows)
    for name, n_codes in (("color", 3), ("town", 200), ("a longer category", 12)):
        words = np.array([f"{name} {k}" for k in range(n_codes)])
        columns[name] = words[rng.integers(0, n_codes, n_rows)]
    columns["label"] = np.array(["no", "yes"])[rng.integers(0, 2, n_rows)]
    pl.DataFrame(columns).write_csv(path, float_precision=6)


def measured(code: str, path: Path) -> tuple[float, float, float]:
    """(seconds, bytes at most, bytes of the arrays) of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    seconds, peak, size = map(float, done.stdout.split())
    return seconds, peak, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {
        "polars.read_csv": [],
        "ready to train": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, options.rows)
        file_bytes = path.stat().st_size
        for _ in range(options.rounds):
            found["polars.read_csv"].append(measured(POLARS, path))
            found["ready to train"].append(measured(OURS, path))
    size = found["ready to train"][0][2]
    ratios = [
        ours[0] / peer[0]
        for ours, peer in zip(found["ready to train"], found["polars.read_csv"], strict=True)
    ]
    result = {
        "command": f"python benchmarks/table_speed.py --rounds {options.rounds}",
        "machine": describe() | {"polars": pl.__version__},
        "rounds": options.rounds,
        "rows": options.rows,
        "file_bytes": file_bytes,
        "array_bytes": size,
        "seconds": {n: median_and_quartiles([s for s, _, _ in v]) for n, v in found.items()},
        "times_read_csv": median_and_quartiles(ratios),
        "peak_bytes": {n: median_and_quartiles([p for _, p, _ in v]) for n, v in found.items()},
    }
    for name, figures in result["seconds"].items():
        peak = result["peak_bytes"][name]["median"]
        print(
            f"{name:<16} {figures['median']:.2f} s  {peak / 1e6:.0f} MB, {peak / size:.2f} × arrays"
        )
    print(f"{result['times_read_csv']['median']:.2f} times read_csv")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
