"""Seconds of `MLPClassifier.fit` beside scikit-learn's, compiling and proof included.

Fashion-MNIST at the default parameters (784-100-10, batch 200) and with 784-32-32-10 at batch 32,
20 epochs each of float32 rows; iris at the default parameters, from an empty compilation cache,
from the cache that this left, and a second time in the same process. Every fit runs in a process
of its own, imports not counted, the two libraries in turn.

    python benchmarks/estimators_speed.py --rounds 3 --json benchmarks/results/estimators_speed.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import jax
import numpy as np

from mlp_jax.bench.machine import TRAINERS, describe, median_and_quartiles
from mlp_jax.files import write_json_atomic

EPOCHS = 20
NETWORKS = {
    "784-100-10, batch 200": {},
    "784-32-32-10, batch 32": {"hidden_layer_sizes": (32, 32), "batch_size": 32},
}
LIBRARIES = {"ours": "mlp_jax.estimators", "scikit-learn": "sklearn.neural_network"}


def rows(task: str) -> tuple[np.ndarray, np.ndarray]:
    """x (N, I) and labels."""
    if task == "iris":
        from sklearn.datasets import load_iris

        return load_iris(return_X_y=True)
    from mlp_jax.data import load

    train = load("fashion_mnist").train
    return (train.x.reshape(len(train.x), -1) / 255).astype(np.float32), train.y


def one_process(library: str, task: str) -> None:
    """Fits twice where the task is iris, else once, and prints the seconds as JSON."""
    import importlib

    warnings.simplefilter("ignore")
    kind = importlib.import_module(LIBRARIES[library]).MLPClassifier
    x, y = rows(task)
    options = {} if task == "iris" else NETWORKS[task] | {"max_iter": EPOCHS}
    taken = []
    for _ in range(2 if task == "iris" else 1):
        started = perf_counter()
        fitted = kind(random_state=0, **options).fit(x, y)
        taken.append(perf_counter() - started)
    print(json.dumps({"seconds": taken, "loss": float(fitted.loss_), "epochs": fitted.n_iter_}))


def measured(library: str, task: str, cache: str) -> dict[str, object]:
    """What `one_process` says, in a process whose compilation cache is that folder."""
    environment = os.environ | {"XDG_CACHE_HOME": cache}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    words = [sys.executable, __file__, "--one", library, task]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("LIBRARY", "TASK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_process(*options.one)
        return
    iris: dict[str, list[float]] = {"cold cache": [], "warm cache": [], "second fit": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            cold = measured("ours", "iris", cache)["seconds"]
            warm = measured("ours", "iris", cache)["seconds"]
        iris["cold cache"].append(cold[0])
        iris["warm cache"].append(warm[0])
        iris["second fit"].append(warm[1])
    found = {"iris": {name: median_and_quartiles(values) for name, values in iris.items()}}
    for name, spread in found["iris"].items():
        print(f"iris, {name}: {spread['median']:.2f} s")
    networks = {}
    for task in NETWORKS:
        taken: dict[str, list[float]] = {library: [] for library in LIBRARIES}
        for _ in range(options.rounds):
            for library in LIBRARIES:
                with tempfile.TemporaryDirectory() as cache:
                    taken[library] += measured(library, task, cache)["seconds"]
        pairs = zip(taken["scikit-learn"], taken["ours"], strict=True)
        ratios = [theirs / ours for theirs, ours in pairs]
        networks[task] = {
            "seconds": {name: median_and_quartiles(values) for name, values in taken.items()},
            "times as fast": median_and_quartiles(ratios),
        }
        print(f"{task}: {np.median(ratios):.2f} times as fast ({np.median(taken['ours']):.1f} s)")
    if options.json:
        record = {
            "command": f"python benchmarks/estimators_speed.py --rounds {options.rounds}",
            "machine": describe(jax.devices()[0], TRAINERS),
            "rounds": options.rounds,
            "epochs": EPOCHS,
            "spread": "median and quartiles; a ratio is taken pair by pair",
            **found,
            "networks": networks,
        }
        write_json_atomic(options.json, record)


if __name__ == "__main__":
    main()
