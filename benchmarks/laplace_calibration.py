"""What the Laplace approximation does to calibration, and to confidence in what is no such thing.

Trains three runs by `mlp-jax train`, fits every kind of approximation to each, and judges the test
rows with and without: log loss, expected calibration error, and the mean confidence in rows of
uniform noise over the range of the inputs; of numbers the −log density and the share of targets
within the interval that should hold 95 %.

    python benchmarks/laplace_calibration.py --json benchmarks/results/laplace_calibration.json
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlp_jax import Model, load, load_laplace
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.data.dataset import Split
from mlp_jax.data.table import Table
from mlp_jax.model.laplace import KINDS, PRIORS
from mlp_jax.reports.calibration import reliability
from mlp_jax.training.run.config import run_config
from mlp_jax.training.run.data import prepared, source
from mlp_jax.training.run.uncertainty import fit_run

RUNS = {
    "mnist1d, last epoch of 30": "--data mnist1d --hidden 256 256 --epochs 30 --select last",
    "digits, best epoch of 30": "--data digits --hidden 256 256 --epochs 30",
    "diabetes, best epoch of 40": "--data diabetes --hidden 64 64 --epochs 40 --test 0.3",
}
NOISE_ROWS = 500


def train(folder: Path, options: str) -> Path:
    words = [sys.executable, "-m", "mlp_jax", "train", *options.split(), "--out", "run"]
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def classes(model: Model, test: Split, noise: np.ndarray) -> dict[str, float]:
    p = model.predict_proba(test.x).astype(np.float64)
    right = np.argmax(p, axis=1) == test.y
    return {
        "log_loss": float(-np.mean(np.log(p[np.arange(len(p)), test.y]))),
        "ece": float(reliability(p.max(axis=1), right).ece),
        "accuracy": float(np.mean(right)),
        "confidence_in_noise": float(np.mean(model.predict_proba(noise).max(axis=1))),
    }


def judge(run: Path) -> dict[str, dict[str, float]]:
    """The figures of the network by itself and with each approximation."""
    plain, config = load(run), run_config(run)
    rows = source(config)
    parts = prepared(config, (plain.inputs, plain.target), rows)
    train, test = parts.train, parts.test
    assert test is not None
    low, high = train.x.min(), train.x.max()
    noise = np.random.default_rng(0).uniform(low, high, (NOISE_ROWS, train.x.shape[1]))

    def figures(model: Model) -> dict[str, float]:
        if model.target.task == "classification":
            return classes(model, test, noise.astype(train.x.dtype))
        assert isinstance(rows, Table)
        return model.evaluate(rows.frame[parts.test_rows])

    found = {"network": figures(plain)}
    for kind in KINDS:
        for prior in PRIORS:
            fit_run(run, kind, prior)
            found[f"{kind}, {prior}"] = figures(load_laplace(run))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    found: dict[str, Any] = {}
    for name, words in RUNS.items():
        with tempfile.TemporaryDirectory() as place:
            found[name] = judge(train(Path(place), words))
        print(name)
        for who, figures in found[name].items():
            said = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
            print(f"  {who:<24}{said}")
    if options.json:
        command = "python benchmarks/laplace_calibration.py"
        record = result(command, jax.devices()[0], 1, runs=RUNS, noise_rows=NOISE_ROWS, found=found)
        write_result(options.json, record)


if __name__ == "__main__":
    main()
