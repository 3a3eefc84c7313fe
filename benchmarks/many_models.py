"""Samples a second of 16 models at once, against one after another and scikit-learn.

784-32-32-10 with ReLU, batch 128, Adam at 1e-3, float32, synthetic images (N, 784) uint8. Each
contender is a process of its own and trains an epoch when it is told to, so that they interleave:
16 models that share their batches in one program, 16 with batches of their own, one model by
itself, and scikit-learn's MLPClassifier with all threads and with one (inputs scaled to float32
ahead of time). The rate of a single model is the rate of 16 of them one after another.

    python benchmarks/many_models.py --rounds 9 --json benchmarks/results/many_models.json
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.bench.machine import describe, median_and_quartiles
from mlp_jax.data import Split, fit_scaling
from mlp_jax.training import Optimizer
from mlp_jax.training.compile import compile_calls
from mlp_jax.training.engine.program import Program, initial_state
from mlp_jax.training.input.loaders import InMemoryLoader
from mlp_jax.training.input.placement import place
from mlp_jax.training.many.member_steps import first_states, orders, run_members
from mlp_jax.training.many.vary import MemberNumbers, Recipe

SINGLE_THREAD = "scikit-learn, one by one, one thread"
HIDDEN, BATCH, ROWS, MEMBERS = (32, 32), 128, 12_800, 16
STEPS = ROWS // BATCH


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, 784), dtype=np.uint8)
    return x, rng.integers(0, 10, ROWS).astype(np.int32)


def program(alone: bool) -> Program:
    optimizer = Optimizer("adam", 1e-3).build(STEPS)
    loss = get_loss("softmax_cross_entropy")
    by_itself = {"guarded": False, "transposed": True} if alone else {}
    return Program(mlp(HIDDEN, 10), loss, optimizer, BATCH, doubt_updates=False, **by_itself)


def rows() -> Any:
    x, y = images()
    return place(Split(x, y), None, fit_scaling(x), np.float32)


def together(shared: bool) -> Callable[[], int]:
    """An epoch of all members in one program; the samples that it trained on."""
    recipe = Recipe(program(False), Optimizer("adam", 1e-3), STEPS, shared)
    seeds, data = np.arange(MEMBERS, dtype=np.uint32), rows()
    box = {"state": first_states(recipe, 784, False, seeds, MemberNumbers())}

    def epoch() -> int:
        order = orders(recipe, ROWS, seeds, np.uint32(0), np.int32(1))
        first = np.int32(0)
        box["state"] = run_members(
            recipe, STEPS, box["state"], data, order, seeds, MemberNumbers(), first
        )
        jax.block_until_ready(box["state"])
        return MEMBERS * ROWS

    return epoch


def alone() -> Callable[[], int]:
    """An epoch of one model, as `fit` runs it."""
    single, data, seed = program(True), rows(), np.uint32(0)
    state = initial_state(single, seed, 784)
    calls = compile_calls(single, state, InMemoryLoader(data, single.batch_size), seed)
    length = next(iter(calls))
    box = {"state": state}

    def epoch() -> int:
        for first in range(0, STEPS, length):
            call = calls[min(length, STEPS - first)]
            box["state"], _ = call(box["state"], data, seed, np.int32(1), np.int32(first))
        jax.block_until_ready(box["state"])
        return ROWS

    return epoch


def scikit_learn() -> Callable[[], int]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = images()
    x = ((x - x.mean()) / x.std()).astype(np.float32)
    how = {"hidden_layer_sizes": HIDDEN, "batch_size": BATCH, "alpha": 0.0, "max_iter": 1}
    model = MLPClassifier(**how, warm_start=True, random_state=0)

    def epoch() -> int:
        model.fit(x, y)
        return ROWS

    return epoch


CONTENDERS: dict[str, Callable[[], Callable[[], int]]] = {
    f"{MEMBERS} at once, shared batches": lambda: together(True),
    f"{MEMBERS} at once, batches of their own": lambda: together(False),
    "mlp-jax, one by one": alone,
    "scikit-learn, one by one": scikit_learn,
    SINGLE_THREAD: scikit_learn,
}


def serve(name: str) -> None:
    """The process of one contender: an epoch a line of input; samples a second out."""
    epoch = CONTENDERS[name]()
    epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        samples = epoch()
        print(samples / (time.perf_counter() - started), flush=True)


def start(name: str) -> "subprocess.Popen[str]":
    """The process of one contender, ready."""
    environment = os.environ | ({"OPENBLAS_NUM_THREADS": "1"} if name == SINGLE_THREAD else {})
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", name],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ask(process: "subprocess.Popen[str]") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("epoch\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=list(CONTENDERS))
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    load = os.getloadavg()[0]
    processes = {name: start(name) for name in CONTENDERS}
    rates: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(options.rounds):
        for name, process in processes.items():
            rates[name].append(ask(process))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    ours = rates[next(iter(rates))]
    ratios = {
        name: median_and_quartiles([a / b for a, b in zip(ours, values, strict=True)])
        for name, values in rates.items()
    }
    for name, values in rates.items():
        print(f"{name:<32} {np.median(values) / 1e3:7.0f} thousand samples/s in all,", end=" ")
        print(f"shared batches {ratios[name]['median']:.2f} times as fast")
    if options.json:
        result = {
            "command": f"python benchmarks/many_models.py --rounds {options.rounds}",
            "machine": describe(),
            "what": f"784-{HIDDEN[0]}-{HIDDEN[1]}-10, batch {BATCH}, Adam, float32, {ROWS} rows",
            "members": MEMBERS,
            "rounds": options.rounds,
            "load_before": load,
            "samples_per_second": {k: median_and_quartiles(v) for k, v in rates.items()},
            "shared_batches_against": ratios,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
