"""Rows a second, waiting and memory of data that streams from disk, and training beside memory.

The file is written by this script: 100 floats and a label a row, of `--gigabytes` as float32. Each
figure comes from a process of its own, of at most `--seconds` after the first stack:

- free: nothing is done with the rows, so this is the most that the stream gives;
- paced: whoever takes the batches needs `--milliseconds` for each, and waits for what is not there;
- network and memory: `fit` with Adam on 100-512-512-2 (--width), with the rows streaming and with
  all of them in memory, from the second compiled call on.

The processor's time a row tells what a stream costs where other programs run beside it.
Memory is the highest resident size of the process, and that beyond what it was before the file was
opened. The file is in the page cache as far as that has room; with --cold it is dropped from there
first.

    python benchmarks/streaming.py --gigabytes 2 --format npy parquet --json out.json
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.bench.machine import describe, median_and_quartiles

WIDTH = 100
CHUNK = 200_000  # rows written at a time
BATCH = 256
STEPS = 32
KINDS = ("free", "paced", "network", "memory")


def write(folder: Path, form: str, n_rows: int) -> None:
    """n_rows of normal numbers, rounded to a thousandth, and a label that hangs on them."""
    import polars as pl

    rng = np.random.default_rng(0)
    names = [f"column {k}" for k in range(WIDTH)]
    x_file = y_file = None
    if form == "npy":
        x_file = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (n_rows, WIDTH))
        y_file = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int64, (n_rows,))
    for number, start in enumerate(range(0, n_rows, CHUNK)):
        stop = min(start + CHUNK, n_rows)
        x = rng.standard_normal((stop - start, WIDTH), np.float32).round(3)
        y = (x[:, :10].sum(axis=1) > 0).astype(np.int64)
        if x_file is not None and y_file is not None:
            x_file[start:stop], y_file[start:stop] = x, y
            continue
        frame = pl.from_numpy(x, names).with_columns(label=pl.Series(y))
        if form == "parquet":
            frame.write_parquet(folder / f"part-{number:05}.parquet", row_group_size=50_000)
        else:
            with (folder / "table.csv").open("ab") as file:
                frame.write_csv(file, include_header=start == 0, float_precision=3)
    os.sync()


def drop_from_cache(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def opened(folder: Path, form: str) -> tuple[Any, float, Any]:
    """The source, the seconds that opening and the pass for its statistics took, the scaling."""
    from mlp_jax.data.streams.arrays import open_npy_folder
    from mlp_jax.data.streams.fitting import fit_table
    from mlp_jax.data.streams.frames import open_frames
    from mlp_jax.data.streams.statistics import fit_arrays
    from mlp_jax.data.streams.tables import TableSource
    from mlp_jax.training.run.build import input_scaling

    start, scaling = time.perf_counter(), None
    if form == "npy":
        source: Any = open_npy_folder(folder)
        scaling = input_scaling(fit_arrays(source)[0])
    else:
        frames = open_frames(folder if form == "parquet" else folder / "table.csv")
        inputs, target, _ = fit_table(frames, ["label"])
        source = TableSource(frames, inputs, target)
    return source, time.perf_counter() - start, scaling


class EnoughError(Exception):
    """The training has been watched for long enough."""


def trained(folder: Path, form: str, kind: str, width: int, seconds: float) -> dict:
    """Rows a second of `fit` on 100-width-width-2, once its calls are compiled and under way."""
    import numpy as np

    from mlp_jax import fit, mlp
    from mlp_jax.data import Split
    from mlp_jax.data.source import Streamed
    from mlp_jax.data.streams.statistics import chunks

    before = resident("VmRSS")
    source, opening, scaling = opened(folder, form)
    rows: Any = Streamed(source)
    if kind == "memory":
        parts = [part for _, part in chunks(source)]
        rows = Split(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
        del parts
    seen: list[tuple[float, float, float]] = []

    def tick(epoch: int, fraction: float, loss: float, speed: float) -> None:
        seen.append((time.perf_counter(), epoch - 1 + fraction, time.process_time()))
        if len(seen) > 2 and seen[-1][0] - seen[1][0] > seconds:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        fit(
            mlp([width, width], 2), "softmax_cross_entropy", "adam", rows,
            batch_size=BATCH, epochs=1000, scaling=scaling, tick=tick,
        )  # fmt: skip
    (start, at, cpu), (end, then, cpu_then) = seen[1], seen[-1]
    count = (then - at) * len(rows)
    return {
        "rows_a_second": count / (end - start),
        "cpu_microseconds_a_row": 1e6 * (cpu_then - cpu) / count,
        "opening": opening,
        "rows": round(count),
        "peak": resident("VmHWM"),
        "grown": resident("VmHWM") - before,
    }


def measure(
    folder: Path, form: str, kind: str, seconds: float, milliseconds: float, width: int
) -> dict:
    import grain  # noqa: F401 - its memory is no part of the data's
    import polars  # noqa: F401

    from mlp_jax.data.streams.order import keys_of
    from mlp_jax.data.streams.stream import Stream

    if kind in ("network", "memory"):
        return trained(folder, form, kind, width, seconds)
    work = None
    if kind == "paced":

        def work(stack: Any) -> None:
            time.sleep(milliseconds * 1e-3 * len(stack.x))

    before = resident("VmRSS")
    source, opening, _ = opened(folder, form)
    rows = 0
    with Stream(source, BATCH, steps=STEPS).epoch(keys_of(0, 0)) as epoch:
        first = next(epoch)
        first_wait = epoch.waited
        if work:
            work(first)
        epoch.waited, start, start_cpu = 0.0, time.perf_counter(), time.process_time()
        for stack in epoch:
            if work:
                work(stack)
            rows += int(stack.weights.sum())
            if time.perf_counter() - start > seconds:
                break
        took = time.perf_counter() - start
        waited, cpu = epoch.waited, time.process_time() - start_cpu
    return {
        "rows_a_second": rows / took,
        "waited": waited / took,
        "cpu_microseconds_a_row": 1e6 * cpu / rows,
        "first_wait": first_wait,
        "opening": opening,
        "rows": rows,
        "peak": resident("VmHWM"),
        "grown": resident("VmHWM") - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--format", nargs="+", default=["npy"], choices=["npy", "parquet", "csv"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--milliseconds", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--folder", type=Path, help="where there is room for the file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        form, kind = options.one
        seconds, milliseconds = options.seconds, options.milliseconds
        figures = measure(options.folder, form, kind, seconds, milliseconds, options.width)
        print(json.dumps(figures))
        return
    n_rows = int(options.gigabytes * 1e9 / (4 * WIDTH))
    results: dict[str, Any] = {}
    for form in options.format:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            write(folder, form, n_rows)
            size = sum(path.stat().st_size for path in folder.iterdir())
            found: dict[str, list[dict]] = {kind: [] for kind in options.kinds}
            for _ in range(options.rounds):
                for kind in options.kinds:
                    if options.cold:
                        drop_from_cache(folder)
                    found[kind].append(of_a_process(options, folder, form, kind))
        results[form] = {"file_bytes": size} | {
            kind: {key: median_and_quartiles([f[key] for f in figures]) for key in figures[0]}
            for kind, figures in found.items()
        }
        tell(form, results[form], options.kinds)
    if options.json:
        command = "python benchmarks/streaming.py " + " ".join(sys.argv[1:])
        machine = describe(packages=("jax", "numpy", "polars", "grain"))
        record = {
            "command": command,
            "machine": machine,
            "n_rows": n_rows,
            "rounds": options.rounds,
            "results": results,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def of_a_process(options: argparse.Namespace, folder: Path, form: str, kind: str) -> dict:
    command = [sys.executable, __file__, "--one", form, kind, "--folder", str(folder)]
    command += ["--seconds", str(options.seconds), "--milliseconds", str(options.milliseconds)]
    command += ["--width", str(options.width)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def tell(form: str, found: dict[str, Any], kinds: list[str]) -> None:
    print(f"{form}: {found['file_bytes'] / 1e9:.2f} GB")
    for kind in kinds:
        f = {key: value["median"] for key, value in found[kind].items()}
        waited = (
            f" waited {f['waited']:.1%}, first {f['first_wait']:.2f} s," if "waited" in f else ""
        )
        print(
            f"  {kind:<8} {f['rows_a_second']:>10,.0f} rows/s,{waited}"
            f" {f['cpu_microseconds_a_row']:.1f} µs of processor a row,"
            f" opened in {f['opening']:.1f} s,"
            f" peak {f['peak'] / 1e6:.0f} MB ({f['grown'] / 1e6:.0f} MB for the data)"
        )


if __name__ == "__main__":
    main()
