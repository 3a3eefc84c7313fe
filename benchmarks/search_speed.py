"""`MLPSearchCV` against `GridSearchCV` over scikit-learn's MLP: 32 candidates, 5 folds, digits.

Both use all cores: `GridSearchCV` by processes, ours by pieces of the one program. Each pair is run
in turn, the compilation of ours included, with an empty compilation cache the first time. The
best scores are printed, for both should come to the same.

    python benchmarks/search_speed.py --rounds 3 --json benchmarks/results/search_speed.json
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

GOAL = 10.0
CASES = {
    "hidden (32,), batch 32": {"hidden_layer_sizes": (32,), "batch_size": 32},
    "hidden (100,), batch 200, the defaults": {},
}
GRID = {
    "alpha": np.logspace(-6, -1, 4).tolist(),
    "learning_rate_init": np.logspace(-3.5, -1.5, 8).tolist(),
}


def seconds(search, X, y) -> tuple[float, float]:
    """(seconds of a fit, its best score)."""
    started = time.perf_counter()
    search.fit(X, y)
    return time.perf_counter() - started, float(search.best_score_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        found, device = measured(options.rounds)
    if options.json:
        from mlp_jax.bench.results import result, write_result

        record = result(
            f"python benchmarks/search_speed.py --rounds {options.rounds}",
            device,
            options.rounds,
            what="seconds of a grid search of 32 candidates and 5 folds on digits",
            load_before=load_before,
            goal=GOAL,
            cases=found,
        )
        write_result(options.json, record)


def measured(rounds: int):
    """(figures of each case, the device)."""
    import jax
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier as ScikitClassifier

    from mlp_jax.bench.machine import median_and_quartiles
    from mlp_jax.estimators import MLPClassifier, MLPSearchCV

    X, y = load_digits(return_X_y=True)
    X = X / 16
    found = {}
    for name, settings in CASES.items():
        for dtype in (np.float64, np.float32):
            rows, shared = X.astype(dtype), {"refit": False, "cv": 5}
            ours = MLPSearchCV(MLPClassifier(random_state=0, **settings), GRID, **shared)
            theirs = GridSearchCV(
                ScikitClassifier(random_state=0, **settings), GRID, n_jobs=-1, **shared
            )
            pairs, scores = [], []
            for _ in range(rounds):
                (a, score), (b, other) = seconds(ours, rows, y), seconds(theirs, rows, y)
                pairs.append((a, b))
                scores.append((score, other))
            ratio = median_and_quartiles([b / a for a, b in pairs])
            found[f"{name}, {np.dtype(dtype)}"] = {
                "seconds": median_and_quartiles([a for a, _ in pairs]),
                "seconds_first": pairs[0][0],
                "seconds_scikit_learn": median_and_quartiles([b for _, b in pairs]),
                "ratio": ratio,
                "best_scores": scores[-1],
            }
            print(
                f"{name}, {np.dtype(dtype)}: {ratio['median']:.1f} times as fast"
                f" ({ratio['quartile_1']:.1f} to {ratio['quartile_3']:.1f}), goal {GOAL};"
                f" {pairs[-1][0]:.1f} s beside {pairs[-1][1]:.1f} s; best score"
                f" {scores[-1][0]:.4f} beside {scores[-1][1]:.4f}",
                flush=True,
            )
    return found, jax.devices()[0]


if __name__ == "__main__":
    main()
