"""Samples a second of 16 models at once, against one after another and scikit-learn.

784-32-32-10 with ReLU, batch 128, Adam at 1e-3, float32, synthetic images (N, 784) uint8. What is
compared, interleaved A B C D, an epoch of each a round: 16 models that share their batches in one
program, 16 with batches of their own, one model by itself, and scikit-learn's MLPClassifier (its
inputs scaled to float32 ahead of time). The rate of a single model is the rate of 16 of them one
after another.

    python benchmarks/many_models.py --rounds 9 --json benchmarks/results/many_models.json
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from machine import describe, median_and_quartiles

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data import Split, fit_scaling
from mlp_jax.training import Optimizer
from mlp_jax.training.calls import compile_calls
from mlp_jax.training.epoch import Program, epoch_order, initial_state
from mlp_jax.training.fitted import place
from mlp_jax.training.many.together import first_states, orders, run_members
from mlp_jax.training.many.vary import Numbers, Recipe

HIDDEN, BATCH, ROWS, MEMBERS = (32, 32), 128, 12_800, 16
STEPS = ROWS // BATCH


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, 784), dtype=np.uint8)
    return x, rng.integers(0, 10, ROWS).astype(np.int32)


def program(branches: bool) -> Program:
    optimizer = Optimizer("adam", 1e-3).build(STEPS)
    loss = get_loss("softmax_cross_entropy")
    how = {"doubt_updates": False, "branches": branches}
    return Program(mlp(HIDDEN, 10), loss, optimizer, BATCH, **how)


def rows() -> Any:
    x, y = images()
    return place(Split(x, y), None, fit_scaling(x), np.float32)


def together(shared: bool) -> Callable[[], int]:
    """An epoch of all members in one program; the samples that it trained on."""
    recipe = Recipe(program(False), Optimizer("adam", 1e-3), STEPS, shared)
    seeds, data = np.arange(MEMBERS, dtype=np.uint32), rows()
    box = {"state": first_states(recipe, 784, False, seeds, Numbers())}

    def epoch() -> int:
        order = orders(recipe, ROWS, seeds, np.uint32(0), np.int32(1))
        first = np.int32(0)
        box["state"] = run_members(
            recipe, STEPS, box["state"], data, order, seeds, Numbers(), first
        )
        jax.block_until_ready(box["state"])
        return MEMBERS * ROWS

    return epoch


def alone() -> Callable[[], int]:
    """An epoch of one model, as `fit` runs it."""
    single, data, seed = program(True), rows(), np.uint32(0)
    state = initial_state(single, seed, 784)
    calls = compile_calls(single, state, data, seed)
    length = next(iter(calls))
    box = {"state": state}

    def epoch() -> int:
        order = epoch_order(seed, np.int32(1), ROWS, BATCH)
        for first in range(0, STEPS, length):
            call = calls[min(length, STEPS - first)]
            box["state"], _ = call(box["state"], data, order, seed, np.int32(first))
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
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    epochs = {name: make() for name, make in CONTENDERS.items()}
    for epoch in epochs.values():
        epoch()
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(options.rounds):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            samples = epoch()
            rates[name].append(samples / (time.perf_counter() - started))
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
            "samples_per_second": {k: median_and_quartiles(v) for k, v in rates.items()},
            "shared_batches_against": ratios,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
