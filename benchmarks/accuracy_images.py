"""Accuracy of `preset="images"` on test rows that nothing was chosen by.

Each run is a process of its own, and its seconds are all of it: imports, loading, the proof,
compiling, training, judging. fashion_mnist: all 60,000 training rows, the 10,000 test rows.
ensemble: eight such networks trained together, predicting with their mean. digits: ten stratified
folds, shuffled anew for each seed. mnist1d: the 4,000 and 1,000 rows of Greydanus (2020), with the
preset, and with `plain`: no norm, only dropout.

    python benchmarks/accuracy_images.py fashion_mnist --seeds 5 --json FILE
    python benchmarks/accuracy_images.py ensemble --seeds 1 --json FILE
    python benchmarks/accuracy_images.py digits --seeds 3 --json FILE
    python benchmarks/accuracy_images.py mnist1d --seeds 5 --json FILE

With --json the results of other sets in the file stay.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PUBLISHED = {
    "fashion_mnist": {
        "MLP 256-128, batch norm and dropout": 0.893,
        "scikit-learn's MLPClassifier": 0.871,
        "source": "Xiao 2017 and the table of its repository",
    },
    "mnist1d": {"MLP": 0.68, "source": "Greydanus 2020"},
}
MEMBERS = 8
FOLDS = 10


def _trained(x: Any, y: Any, seeds: list[int], *, pixels: bool, plain: bool = False) -> Any:
    """The preset, or the plain network, trained on rows x (N, I) of labels y (N,).

    A `TrainResult` for one seed, a `ManyResult` for several.
    """
    from dataclasses import replace

    from mlp_jax.backprop import mlp
    from mlp_jax.data import Split, fit_scaling
    from mlp_jax.training import Optimizer, fit
    from mlp_jax.training.many import fit_many
    from mlp_jax.training.presets.images import images

    n_out = int(y.max()) + 1
    found = images(x.shape[1], n_out, len(x), "classification")
    if plain:
        optimizer = Optimizer("adam", 3e-3, schedule="one-cycle")
        found = replace(found, network=mlp((512, 512), n_out, dropout=0.3), optimizer=optimizer)
    what = (found.network, found.loss, found.optimizer, Split(x, y))
    how = {"scaling": fit_scaling(x, pixels=pixels), **found.options}
    if len(seeds) == 1:
        return fit(*what, seed=seeds[0], **how)
    return fit_many(*what, seeds=seeds, seed=seeds[0], **how)


def _accuracy(fitted: Any, x: Any, y: Any) -> float:
    return float(fitted.evaluate((x, y), ["accuracy"])[0]["accuracy"])


def fashion(seed: int) -> dict[str, Any]:
    """The accuracy on the 10,000 test rows."""
    from mlp_jax.data.load import load

    data = load("fashion_mnist")
    fitted = _trained(data.train.x, data.train.y, [seed], pixels=True)
    return {"accuracy": _accuracy(fitted, data.test.x, data.test.y)}


def ensemble(seed: int) -> dict[str, Any]:
    """The accuracy of eight networks together, and of each."""
    from mlp_jax.data.load import load
    from mlp_jax.training.many.ensemble import as_ensemble, ensemble_seeds

    data = load("fashion_mnist")
    seeds = ensemble_seeds(MEMBERS * seed, MEMBERS)
    many = _trained(data.train.x, data.train.y, seeds, pixels=True)
    members = [_accuracy(many.member(k), data.test.x, data.test.y) for k in range(MEMBERS)]
    return {
        "accuracy": _accuracy(as_ensemble(many), data.test.x, data.test.y),
        "members": members,
    }


def digits(seed: int) -> dict[str, Any]:
    """The mean accuracy over ten folds, each fold judged by a network that never saw it."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    from mlp_jax.data.load import load

    rows = load("digits").train
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    each = []
    for train, test in folds.split(rows.x, rows.y):
        fitted = _trained(rows.x[train], rows.y[train], [seed], pixels=True)
        each.append(_accuracy(fitted, rows.x[test], rows.y[test]))
    return {"accuracy": float(np.mean(each)), "folds": each}


def mnist1d(seed: int) -> dict[str, Any]:
    """The accuracy on the 1,000 test rows, of the preset and of the plain network."""
    from mlp_jax.data.load import load

    data = load("mnist1d")
    found = {}
    for name, plain in (("accuracy", False), ("plain", True)):
        fitted = _trained(data.train.x, data.train.y, [seed], pixels=False, plain=plain)
        found[name] = _accuracy(fitted, data.test.x, data.test.y)
    return found


RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "fashion_mnist": fashion,
    "ensemble": ensemble,
    "digits": digits,
    "mnist1d": mnist1d,
}


def _child_seconds() -> float:
    """Seconds that the cores have computed for processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_a_process(name: str, seed: int) -> dict[str, Any]:
    """A run by itself, with its seconds from start to end, and those of all cores together."""
    started, computed = time.perf_counter(), _child_seconds()
    command = [sys.executable, __file__, name, "--one", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, of_cores = time.perf_counter() - started, _child_seconds() - computed
    found: dict[str, Any] = {"seed": seed, "seconds": seconds, "core_seconds": of_cores}
    found |= json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, seed {seed}: {found}", flush=True)
    return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread (standard deviation over the seeds) of the accuracies; the seconds."""
    import numpy as np

    found: dict[str, Any] = {"seeds": len(runs)}
    for name in ("accuracy", "plain"):
        values = [run[name] for run in runs if name in run]
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            found[name] = {"mean": float(np.mean(values)), "spread": spread}
    for name in ("seconds", "core_seconds"):
        values = [run[name] for run in runs]
        found[name] = {"median": float(np.median(values)), "most": max(values)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", choices=tuple(RUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(RUNS[options.data](options.one)))
        return
    from mlp_jax.bench.machine import describe
    from mlp_jax.bench.results import check_places, write_result

    check_places(options.json, None)
    load_before = os.getloadavg()[0]
    runs = [in_a_process(options.data, seed) for seed in range(options.seeds)]
    record = {
        "command": f"python benchmarks/accuracy_images.py {options.data} --seeds {options.seeds}",
        "machine": describe(),
        "load_before": load_before,
        "spread": "standard deviation over the seeds",
        "summary": summary(runs),
        "published": PUBLISHED.get(options.data, {}),
        "runs": runs,
    }
    print(json.dumps(record["summary"], indent=1))
    if options.json is not None:
        old = json.loads(options.json.read_text()) if options.json.exists() else {}
        write_result(options.json, old | {options.data: record})


if __name__ == "__main__":
    main()
