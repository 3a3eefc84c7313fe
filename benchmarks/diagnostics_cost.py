"""What looking at the layers and the gradient's noise costs a training, and its start.

Fashion-MNIST, batch 128, Adam. Time: the same run with the diagnostics, their records written, and
without, in turn, in one process: the median of three epochs, of which one has a look. Start: a
whole `mlp-jax train` of one epoch in a process of its own, in turn, with an empty compilation
cache and with a full one.

    python benchmarks/diagnostics_cost.py --rounds 7 --json benchmarks/results/diagnostics_cost.json
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from mlp_jax.backprop import mlp
from mlp_jax.bench.machine import median_and_quartiles
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.data import fit_scaling, load
from mlp_jax.proof import Report
from mlp_jax.training import fit
from mlp_jax.training.engine.snapshot import Position
from mlp_jax.training.run.log_callbacks import RunLogs

NETWORKS = {
    "784-512-512-10": (512, 512),
    "784-32-32-10": (32, 32),
    "784, 12 of 64, 10": (64,) * 12,
}
GOAL = 1.05
WORDS = ("--data", "fashion_mnist", "--hidden", "512", "512", "--batch-size", "128")


def seconds(rows, scaling, hidden: tuple[int, ...], epochs: int, diagnostics: bool) -> float:
    """The median time of three epochs on end, of which one has a look; the first three not taken.

    Those compile, and look more often.
    """
    network, ends = mlp(hidden, 10), []
    with (
        tempfile.TemporaryDirectory() as folder,
        RunLogs(Path(folder), Position(), network, diagnostics=diagnostics) as logs,
    ):

        def end_epoch(end) -> None:
            logs.write(end)
            ends.append(time.perf_counter())

        fit(
            network,
            "softmax_cross_entropy",
            "adam",
            rows,
            epochs=epochs,
            batch_size=128,
            scaling=scaling,
            diagnostics=diagnostics,
            callbacks=[end_epoch],
        )
    return float(np.median(np.diff(ends[2::3])))


def start(cache: str, diagnostics: bool) -> float:
    """A run of one epoch as a process, from its beginning to its end."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*WORDS, "--epochs", "1", "--out", f"{folder}/run"]
        words += [] if diagnostics else ["--no-diagnostics"]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "mlp_jax", "train", *words],
            check=True, stdout=subprocess.DEVNULL, env=os.environ | {"XDG_CACHE_HOME": cache},
        )  # fmt: skip
        return time.perf_counter() - began


def starts(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds more with the diagnostics than without, pair by pair; and without."""
    found: dict[str, list[list[float]]] = {"empty cache": [], "full cache": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            for pairs in found.values():
                pairs.append([start(one, True), start(other, False)])
    return {
        name: {
            "seconds_more": median_and_quartiles([a - b for a, b in pairs]),
            "seconds_without": median_and_quartiles([b for _, b in pairs]),
        }
        for name, pairs in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    load_before = os.getloadavg()[0]
    importlib.import_module("mlp_jax.training.plan").check_gradients = lambda *_, **__: Report(())
    rows = load("fashion_mnist").train
    scaling = fit_scaling(rows.x)
    figures = {}
    for name, hidden in NETWORKS.items():
        seconds(rows, scaling, hidden, 6, True)
        pairs = [
            [seconds(rows, scaling, hidden, options.epochs, looks) for looks in (True, False)]
            for _ in range(options.rounds)
        ]
        figures[name] = {
            "seconds_with": median_and_quartiles([a for a, _ in pairs]),
            "seconds_without": median_and_quartiles([b for _, b in pairs]),
            "ratio": median_and_quartiles([a / b for a, b in pairs]),
        }
        ratio = figures[name]["ratio"]
        print(
            f"{name:<20} with over without: {ratio['median']:.3f}"
            f" ({ratio['quartile_1']:.3f} to {ratio['quartile_3']:.3f}), goal {GOAL}"
        )
    began = starts(options.starts) if options.starts else {}
    for name, found in began.items():
        more, alone = found["seconds_more"]["median"], found["seconds_without"]["median"]
        print(f"start, {name}: {more:+.2f} s beside {alone:.1f} s")
    if options.json:
        record = result(
            f"python benchmarks/diagnostics_cost.py --rounds {options.rounds}"
            f" --epochs {options.epochs} --starts {options.starts}",
            jax.devices()[0],
            options.rounds,
            what="Fashion-MNIST, batch 128, Adam, with the diagnostics over without",
            load_before=load_before,
            goal=GOAL,
            training=figures,
            start=began,
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
