"""Adult with the one import changed: scikit-learn's MLP and this one, their accuracy and time.

Twice the same lines, which need a ColumnTransformer for the words; and once without, for this one
takes the frame straight in. A fifth of the rows, stratified, is held out to be judged by.

    python scripts/adult_one_import.py adult.csv
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def with_transformer(library: Any, max_iter: int) -> Any:
    """The usual pipeline: numbers standardized, words one-hot."""
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(columns, library(max_iter=max_iter, random_state=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="a CSV file; the last column is predicted")
    parser.add_argument("--max-iter", type=int, default=20)
    options = parser.parse_args()
    frame = pd.read_csv(options.table)
    target = frame.pop(frame.columns[-1]).to_numpy()
    parts = train_test_split(frame, target, test_size=0.2, stratify=target, random_state=0)
    warnings.simplefilter("ignore", ConvergenceWarning)

    from sklearn.neural_network import MLPClassifier

    theirs = with_transformer(MLPClassifier, options.max_iter)

    from mlp_jax import MLPClassifier

    ours = with_transformer(MLPClassifier, options.max_iter)
    straight = MLPClassifier(max_iter=options.max_iter, random_state=0)

    table = Table("estimator", "accuracy", "fit, s")
    for name, estimator in (
        ("sklearn.neural_network", theirs),
        ("mlp_jax", ours),
        ("mlp_jax, the frame straight in", straight),
    ):
        x_train, x_test, y_train, y_test = parts
        started = time.perf_counter()
        estimator.fit(x_train, y_train)
        seconds = time.perf_counter() - started
        accuracy = np.mean(estimator.predict(x_test) == y_test)
        table.add_row(name, f"{accuracy:.4f}", f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
