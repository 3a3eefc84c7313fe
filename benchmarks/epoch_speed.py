"""Samples a second of one training epoch: mlp-jax against PyTorch eager with fused Adam.

Fashion-MNIST where Debian's package has put it (synthetic images of the same shape otherwise),
784-512-512-10 with ReLU, batch 128, Adam at 1e-3, float32. Each contender runs in a process of its
own and trains an epoch when it is told to, so that the epochs interleave: A B A B. Before anything
is timed, both have trained an epoch and their losses are compared.

    python benchmarks/epoch_speed.py --rounds 7 --json benchmarks/results/epoch_speed.json
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.bench.machine import describe, median_and_quartiles

HIDDEN, BATCH, RATE = (512, 512), 128, 1e-3


def images() -> tuple[np.ndarray, np.ndarray, str]:
    """60,000 images (N, 784) uint8 and labels, and what they are."""
    from mlp_jax.data import load
    from mlp_jax.errors import DataFileError

    try:
        train = load("fashion_mnist").train
        return train.x, train.y, "fashion_mnist"
    except DataFileError:
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (60_000, 784), dtype=np.uint8)
        return x, rng.integers(0, 10, 60_000).astype(np.int32), "synthetic"


def mlp_jax_epochs() -> Callable[[], float]:
    """A function that trains one more epoch and returns its mean loss."""
    import jax
    import optax

    from mlp_jax import get_loss, mlp
    from mlp_jax.data import Split, fit_scaling
    from mlp_jax.training.calls import compile_calls
    from mlp_jax.training.epoch import Program, epoch_order, initial_state
    from mlp_jax.training.fitted import place

    x, y, _ = images()
    optimizer = optax.with_extra_args_support(optax.adam(RATE))
    network, loss = mlp(HIDDEN, 10), get_loss("softmax_cross_entropy")
    how = {"doubt_updates": False, "branches": True}  # as `fit` sets it for "adam" on a CPU
    program = Program(network, loss, optimizer, BATCH, **how)
    seed = np.uint32(0)
    state = initial_state(program, seed, 784)
    data = place(Split(x, y), None, fit_scaling(x), np.float32)
    calls = compile_calls(program, state, data, seed)
    length, steps = next(iter(calls)), -(-len(x) // BATCH)
    box = {"state": state, "epoch": 0}

    def epoch() -> float:
        box["epoch"] += 1
        loss = weight = 0.0
        order = epoch_order(seed, np.int32(box["epoch"]), len(x), BATCH)
        for first in range(0, steps, length):
            count = min(length, steps - first)
            state, totals = calls[count](box["state"], data, order, seed, np.int32(first))
            box["state"] = state
            totals = jax.device_get(totals)
            loss, weight = loss + float(totals.loss), weight + float(totals.weight)
        return loss / weight

    return epoch


def torch_epochs() -> Callable[[], float]:
    """The same in PyTorch eager: data in float32 ahead of time, shuffled by index, fused Adam."""
    import torch

    torch.manual_seed(0)
    x, y, _ = images()
    mean, deviation = x.mean(), x.std()
    inputs = (torch.from_numpy(x).float() - mean) / deviation
    labels = torch.from_numpy(y.astype(np.int64))
    widths = (784, *HIDDEN)
    layers: list[Any] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 10))
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    criterion = torch.nn.CrossEntropyLoss()

    def epoch() -> float:
        order = torch.randperm(len(inputs))
        total = torch.zeros(())
        for rows in order.split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return float(total) / len(inputs)

    return epoch


CONTENDERS = {"mlp-jax": mlp_jax_epochs, "PyTorch eager, fused Adam": torch_epochs}


def serve(name: str) -> None:
    """The process of one contender: one epoch a line of input; seconds and loss out."""
    epoch = CONTENDERS[name]()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = epoch()
        print(json.dumps([time.perf_counter() - started, loss]), flush=True)


def ask(process: "subprocess.Popen[str]") -> tuple[float, float]:
    """One epoch of a contender: (seconds, loss)."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("epoch\n")
    process.stdin.flush()
    seconds, loss = json.loads(process.stdout.readline())
    return seconds, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=list(CONTENDERS))
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    processes = {}
    for name in CONTENDERS:
        command = [sys.executable, __file__, "--serve", name]
        processes[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes[name].stdout.readline()
    losses = {name: ask(process)[1] for name, process in processes.items()}
    print("first epoch's mean loss:", {name: round(loss, 4) for name, loss in losses.items()})
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name, process in processes.items():
            rates[name].append(60_000 / ask(process)[0])
    for process in processes.values():
        process.stdin.close()
        process.wait()
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    for name, values in rates.items():
        print(f"{name:<28} {np.median(values) / 1e3:7.1f} thousand samples/s")
    print(f"ratio {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if options.json:
        result = {
            "command": f"python benchmarks/epoch_speed.py --rounds {options.rounds}",
            "machine": describe(),
            "what": f"784-{HIDDEN[0]}-{HIDDEN[1]}-10, batch {BATCH}, Adam, float32, {images()[2]}",
            "rounds": options.rounds,
            "first_epoch_loss": losses,
            "samples_per_second": {k: median_and_quartiles(v) for k, v in rates.items()},
            "ratio_of_pairs": median_and_quartiles(ratios),
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
