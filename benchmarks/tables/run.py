"""Compare the presets with other methods on many real tables.

    python benchmarks/tables/run.py --quick
    python benchmarks/tables/run.py --part test --json benchmarks/results/tables.json

Each contender runs in a process of its own, with its own defaults, on the same training rows (a
random 80 %) and is judged on the same test rows. Every result is kept in the folder --work, so that
a stopped benchmark goes on where it was. Needs the packages of the extra `tables`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd

from tables.catalog import QUICK, SETS, TableSet
from tables.contenders import CONTENDERS, FAST
from tables.read import read_set
from tables.report import print_tables, write_results
from tables.score import measure

TEST_SHARE = 0.2


def prepare(table: TableSet, seed: int, work: Path, adult: Path | None) -> Path:
    """Return the folder with train.csv, test.csv, all.csv (with a column `part`) and set.json."""
    folder = work / "sets" / f"{table.name}-{seed}"
    if (folder / "set.json").exists():
        return folder
    frame = read_set(table, adult)
    folder.mkdir(parents=True, exist_ok=True)
    test = np.zeros(len(frame), bool)
    order = np.random.default_rng(seed).permutation(len(frame))
    test[order[: round(TEST_SHARE * len(frame))]] = True
    classes: list[str] = []
    if table.task == "classification":
        known = frame["target"][~test]
        classes = sorted(known.unique())
        kept = frame["target"].isin(classes)
        frame, test = frame[kept].reset_index(drop=True), test[kept]
    frame[~test].to_csv(folder / "train.csv", index=False)
    frame[test].to_csv(folder / "test.csv", index=False)
    frame.assign(part=np.where(test, "test", "train")).to_csv(folder / "all.csv", index=False)
    about = {
        "name": table.name, "task": table.task, "part": table.part, "shows": table.shows,
        "classes": classes, "train": int((~test).sum()), "test": int(test.sum()),
        "columns": frame.shape[1] - 1,
        "categories": int((frame.drop(columns="target").dtypes.map(lambda t: t.kind) == "O").sum()),
        "missing": float(frame.drop(columns="target").isna().to_numpy().mean()),
    }  # fmt: skip
    (folder / "set.json").write_text(json.dumps(about))
    return folder


def run_one(folder: Path, name: str, seed: int, limit: float) -> dict[str, Any]:
    """Return a contender's errors on a set, its wall and processor seconds, its memory."""
    out = folder / f"predictions-{os.getpid()}.npy"
    command = [sys.executable, "-m", "tables.one", str(folder), name, str(seed), str(out)]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        done = subprocess.run(
            command, env=settings, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished after {limit:g} seconds", "late": True}
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {
            "failed": done.stderr.strip().splitlines()[-1][:300] if done.stderr else "no output"
        }
    predicted = np.load(out)
    out.unlink()
    about = json.loads((folder / "set.json").read_text())
    y = pd.read_csv(folder / "test.csv")["target"].to_numpy()
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = measure(about["task"], predicted, y, about["classes"])
    return {**found, "seconds": seconds, "processor_seconds": processor}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="six small sets, fast contenders")
    parser.add_argument("--part", choices=("development", "test"), default="development")
    parser.add_argument("--sets", nargs="+", metavar="NAME", choices=SETS)
    parser.add_argument("--contenders", nargs="+", metavar="NAME", choices=CONTENDERS)
    parser.add_argument("--seeds", type=int, default=1, help="random splits of each set")
    parser.add_argument("--adult", type=Path, metavar="FOLDER", help="folder with adult.csv")
    parser.add_argument("--work", type=Path, default=Path("tables-work"), metavar="FOLDER")
    parser.add_argument("--limit", type=float, default=3600, help="seconds a contender may take")
    parser.add_argument("--json", type=Path, help="results; .md and .png stand beside it")
    options = parser.parse_args()
    names = options.sets or [name for name, t in SETS.items() if t.part == options.part]
    if options.quick and not options.sets:
        names = QUICK
    contenders = options.contenders or (FAST if options.quick else tuple(CONTENDERS))
    results: dict[str, Any] = {}
    for name in names:
        for seed in range(options.seeds):
            if SETS[name].source[0] == "file" and options.adult is None:
                print(f"{name}: left out (--adult names the folder with its file)")
                continue
            try:
                folder = prepare(SETS[name], seed, options.work, options.adult)
            except FileNotFoundError as error:
                parser.error(str(error))
            about = json.loads((folder / "set.json").read_text())
            found = {contender: _kept(folder, contender, seed, options) for contender in contenders}
            results[f"{name}-{seed}"] = {**about, "seed": seed, "found": found}
    print_tables(results, contenders)
    if options.json:
        write_results(options.json, results, contenders, " ".join(["python", *sys.argv]))


def _kept(folder: Path, contender: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return a result from the folder, or run the contender and keep its result.

    What failed runs again the next time; what was not finished in time does not.
    """
    path = folder / f"{contender}.json"
    if path.exists():
        return json.loads(path.read_text())
    found = run_one(folder, contender, seed, options.limit)
    if "failed" not in found or found.get("late"):
        path.write_text(json.dumps(found))
    told = found.get("failed") or f"error {found['error']:.4f}, {found['seconds']:.1f} s"
    print(f"{folder.name:28} {contender:26} {told}", flush=True)
    return found


if __name__ == "__main__":
    main()
