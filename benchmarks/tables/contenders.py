"""The methods compared, each with its own defaults, on the same two CSV files.

Each takes the files of training and test rows, and returns what it predicts for the test rows:
probabilities (N, C), classes in sorted order, or numbers (N,). Columns of text are categories for
every method that has them. `mlp-jax` runs as a user runs it: `train`, then `predict`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frames = tuple[pd.DataFrame, pd.DataFrame]
Contender = Callable[[Path, str, int], np.ndarray]


def read(folder: Path) -> Frames:
    """Return the training and the test rows, columns of text as pandas' categories."""
    train, test = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "test"))
    for name in train.columns.drop("target"):
        if train[name].dtype.kind not in "biuf":
            values = sorted({*train[name].dropna().astype(str), *test[name].dropna().astype(str)})
            for frame in (train, test):
                text = frame[name].astype(str).where(frame[name].notna())
                frame[name] = pd.Categorical(text, categories=values)
    return train, test


def mlp_jax(*options: str) -> Contender:
    """Return `mlp-jax train` with these options, then `mlp-jax predict`."""

    def contend(folder: Path, task: str, seed: int) -> np.ndarray:
        with tempfile.TemporaryDirectory() as temporary:
            run, out = Path(temporary) / "run", Path(temporary) / "out.csv"
            command = [sys.executable, "-m", "mlp_jax"]
            train = ["train", "--data", str(folder / "all.csv"), "--target", "target"]
            train += ["--split-column", "part", "--task", task, "--seed", str(seed)]
            _run([*command, *train, "--output", str(run), *options])
            predict = [
                "predict",
                str(run),
                "--input",
                str(folder / "test.csv"),
                "--output",
                str(out),
            ]
            _run([*command, *predict, *(["--probabilities"] if task == "classification" else [])])
            found = pd.read_csv(out)
        classes = json.loads((folder / "set.json").read_text())["classes"]
        if task == "regression":
            return found.iloc[:, 0].to_numpy()
        return found[[f"probability_{name}" for name in classes]].to_numpy()

    return contend


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-2000:])


def fitted(make: Callable[[str, int, pd.DataFrame], Any]) -> Contender:
    """Return a method with scikit-learn's interface, made for a task, a seed and columns."""

    def contend(folder: Path, task: str, seed: int) -> np.ndarray:
        train, test = read(folder)
        X, y = train.drop(columns="target"), train["target"]
        model = make(task, seed, X)
        model.fit(X, y)
        rows = test.drop(columns="target")
        if task == "regression":
            return np.ravel(model.predict(rows))
        return np.asarray(model.predict_proba(rows))

    return contend


def scikit_mlp(task: str, seed: int, X: pd.DataFrame) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )
    kind = MLPClassifier if task == "classification" else MLPRegressor
    return make_pipeline(columns, kind(random_state=seed))


def hist_gradient_boosting(task: str, seed: int, X: pd.DataFrame) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier
    if task == "regression":
        kind = HistGradientBoostingRegressor
    return kind(categorical_features="from_dtype", random_state=seed)


def lightgbm(task: str, seed: int, X: pd.DataFrame) -> Any:
    import lightgbm

    kind = lightgbm.LGBMClassifier if task == "classification" else lightgbm.LGBMRegressor
    return kind(random_state=seed, verbose=-1)


def xgboost(task: str, seed: int, X: pd.DataFrame) -> Any:
    import xgboost

    options = {"enable_categorical": True, "random_state": seed}
    if task == "regression":
        return xgboost.XGBRegressor(**options)
    return _CodedClasses(xgboost.XGBClassifier(**options))


class _CodedClasses:
    """XGBoost takes classes as codes only."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: pd.DataFrame, y: pd.Series) -> None:
        self.model.fit(X, np.searchsorted(sorted(y.unique()), y))

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return self.model.predict_proba(X)


def catboost(task: str, seed: int, X: pd.DataFrame) -> Any:
    import catboost

    kind = catboost.CatBoostClassifier if task == "classification" else catboost.CatBoostRegressor
    names = list(X.select_dtypes("category"))
    model = kind(random_seed=seed, verbose=False, cat_features=names, allow_writing_files=False)
    return _TextCategories(model, names)


class _TextCategories:
    """CatBoost takes missing categories as a word of their own."""

    def __init__(self, model: Any, names: list[str]) -> None:
        self.model, self.names = model, names

    def _text(self, X: pd.DataFrame) -> pd.DataFrame:
        words = {name: X[name].astype(object).fillna("missing").astype(str) for name in self.names}
        return X.assign(**words)

    def fit(self, X: pd.DataFrame, y: Any) -> None:
        self.model.fit(self._text(X), y)

    def predict(self, X: pd.DataFrame) -> Any:
        return self.model.predict(self._text(X))

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return self.model.predict_proba(self._text(X))


def pytabkit(name: str, **options: Any) -> Callable[[str, int, pd.DataFrame], Any]:
    """Return a method of pytabkit, on all cores of this machine's processor."""

    def make(task: str, seed: int, X: pd.DataFrame) -> Any:
        import os

        import pytabkit

        kind = "Classifier" if task == "classification" else "Regressor"
        method = getattr(pytabkit, f"{name}_{kind}")
        return method(random_state=seed, device="cpu", n_threads=os.cpu_count(), **options)

    return make


CONTENDERS: dict[str, Contender] = {
    "mlp-jax": mlp_jax(),
    "mlp-jax tabular": mlp_jax("--preset", "tabular"),
    "scikit-learn MLP": fitted(scikit_mlp),
    "HistGradientBoosting": fitted(hist_gradient_boosting),
    "LightGBM": fitted(lightgbm),
    "XGBoost": fitted(xgboost),
    "CatBoost": fitted(catboost),
    "RealMLP-TD": fitted(pytabkit("RealMLP_TD")),
    "TabM-D": fitted(pytabkit("TabM_D")),
    "LGBM-TD": fitted(pytabkit("LGBM_TD")),
}
FAST = ("mlp-jax", "mlp-jax tabular", "scikit-learn MLP", "HistGradientBoosting", "LightGBM")
