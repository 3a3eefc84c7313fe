"""Test accuracy on Adult: the plain network of `mlp-jax train` and its `--preset tabular`.

Random 64/16/20 split, another one for each seed; weights are taken from the best epoch by
validation rows, and the test rows are looked at once, at the end. What the preset consists of was
chosen on validation rows of seeds 0 to 2.

    python benchmarks/accuracy_adult.py --data adult.csv --json results.json
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from mlp_jax.bench.machine import describe
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.run import train

PUBLISHED = {
    "MLP (Gorishniy 2021, 2022)": "0.852 to 0.854",
    "MLP-PLR (Gorishniy 2022)": "0.870",
    "TabM (Gorishniy 2024)": "0.858 to 0.870",
}


def one(data: str, preset: str | None, seed: int) -> dict[str, float]:
    """One training: its accuracy on the test rows and on the validation rows, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            data=data,
            target=("income",),
            test=0.2,
            validation=0.2,  # of the 80 % that are left
            seed=seed,
            preset=preset,
            checkpoint_every="never",
            out=str(Path(folder) / "run"),
        )
        started = time.perf_counter()
        run = train(config, say=lambda text: None, bar=False)
        seconds = time.perf_counter() - started
    best = run.fitted.history[run.fitted.best_epoch - 1]
    return {
        "test": run.test["accuracy"],
        "validation": best["validation_accuracy"],
        "epoch": run.fitted.best_epoch,
        "seconds": seconds,
    }


def main() -> None:
    """Every seed of both, their mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="adult.csv")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"plain": [], "tabular": []}
    for seed in range(options.seeds):
        for name, runs in found.items():
            runs.append(one(options.data, None if name == "plain" else name, seed))
            print(name, seed, runs[-1], flush=True)
    results = {
        name: {
            "test_accuracy_mean": statistics.mean(run["test"] for run in runs),
            "test_accuracy_spread": statistics.stdev(run["test"] for run in runs)
            if len(runs) > 1
            else 0.0,
            "runs": runs,
        }
        for name, runs in found.items()
    }
    for name, result in results.items():
        mean, spread = result["test_accuracy_mean"], result["test_accuracy_spread"]
        print(f"{name}: {mean:.4f} ± {spread:.4f} (standard deviation over {options.seeds} seeds)")
    if options.json:
        content = {
            "command": f"python benchmarks/accuracy_adult.py --data FILE --seeds {options.seeds}",
            "split": "random 64/16/20, one for each seed",
            "seeds": options.seeds,
            "published": PUBLISHED,
            "results": results,
            "machine": describe(),
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
