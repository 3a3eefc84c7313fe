"""What saving checkpoints costs a training: the same fit with and without them, interleaved.

Fashion-MNIST, 784-512-512-10, batch 128, Adam. The interval is a tenth of the usual one, so that
a short fit saves as often as a long one.

    python benchmarks/checkpoint_cost.py --rounds 7 --json benchmarks/results/checkpoint_cost.json
"""

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path

from mlp_jax.backprop import mlp
from mlp_jax.bench.machine import describe, median_and_quartiles
from mlp_jax.data import fit_scaling, load
from mlp_jax.proof import Report
from mlp_jax.training import fit
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving


def seconds(rows, scaling, epochs: int, every: str | None) -> float:
    """The time from the first step to the last, with what saving holds up."""
    began = []
    with tempfile.TemporaryDirectory() as folder:
        saved = [] if every is None else [Checkpoints(Path(folder), Saving.parse(every))]
        fit(
            mlp([512, 512], 10),
            "softmax_cross_entropy",
            "adam",
            rows,
            epochs=epochs,
            batch_size=128,
            scaling=scaling,
            callbacks=[*saved, lambda end: began.append(time.perf_counter()) and None],
        )
        ended = time.perf_counter()
        for each in saved:
            each.close()
    return ended - began[0]  # the first epoch compiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--every", default="2s")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    importlib.import_module("mlp_jax.training.plan").check_gradients = lambda *_, **__: Report(())
    rows = load("fashion_mnist").train
    scaling = fit_scaling(rows.x)
    seconds(rows, scaling, 2, options.every)
    pairs = [
        [seconds(rows, scaling, options.epochs, every) for every in (options.every, None)]
        for _ in range(options.rounds)
    ]
    ratio = median_and_quartiles([a / b for a, b in pairs])
    result = {
        "command": f"python benchmarks/checkpoint_cost.py --rounds {options.rounds}"
        f" --epochs {options.epochs} --every {options.every}",
        "machine": describe(),
        "rounds": options.rounds,
        "seconds_with": median_and_quartiles([a for a, _ in pairs]),
        "seconds_without": median_and_quartiles([b for _, b in pairs]),
        "ratio": ratio,
    }
    print(
        f"with a checkpoint every {options.every} over without: {ratio['median']:.3f}"
        f" (quartiles {ratio['quartile_1']:.3f} to {ratio['quartile_3']:.3f})"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
