"""Metrics of host arrays, defined as in scikit-learn.

Letters: N examples, C classes or outputs. Metrics of one NumPy expression are implemented here, so
that training does not wait for scikit-learn's import; the ranking metrics import it. An undefined
metric (N = 0, AUC of a single class, non-finite outputs) is NaN.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from mlp_jax.errors import InputError, UnknownNameError, check_new_name

Task = Literal["classification", "multilabel", "regression"]
_Function = Callable[[np.ndarray, np.ndarray], float]
_TOP = re.compile(r"top([1-9][0-9]*)")
_SMALLEST = float(np.finfo(np.float64).eps)  # scikit-learn's log_loss clips here


class Metric(NamedTuple):
    """Tasks that have a metric, and its direction."""

    tasks: tuple[Task, ...]
    higher_is_better: bool


_LABELS: tuple[Task, ...] = ("classification", "multilabel")
METRICS: dict[str, Metric] = {
    "accuracy": Metric(_LABELS, True),
    "top2": Metric(("classification",), True),
    "top3": Metric(("classification",), True),
    "top5": Metric(("classification",), True),
    "log_loss": Metric(_LABELS, False),
    "roc_auc": Metric(_LABELS, True),
    "average_precision": Metric(_LABELS, True),
    "f1": Metric(_LABELS, True),
    "rmse": Metric(("regression",), False),
    "mae": Metric(("regression",), False),
    "r2": Metric(("regression",), True),
}
"""The table of metrics. `topK` works for every K, not only for those listed."""

_DEFAULTS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "multilabel": ("accuracy",),
    "regression": ("rmse", "r2"),
}

_ALL_LABELS = ("accuracy", "log_loss", "f1", "roc_auc", "average_precision")
TEST_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": _ALL_LABELS,
    "multilabel": _ALL_LABELS,
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics of the final evaluation."""


def register_metric(
    name: str,
    function: Callable[[np.ndarray, np.ndarray], float],
    *,
    tasks: Sequence[str],
    higher_is_better: bool,
) -> None:
    """Add a metric, to be used by its name like the built-in ones.

    Args:
        name: the name, a Python identifier.
        function: f(predictions (N, C), targets) → a number; predictions are float64. For
            "classification" they are probabilities of the classes and targets are labels (N,) from
            0 to C − 1; for "multilabel" probabilities and booleans (N, C); for "regression" values
            and values (N, C).
        tasks: the tasks that have it.
        higher_is_better: whether a larger value is better.

    Raises:
        InputError: for a name that exists already or is no identifier.
        UnknownNameError: for an unknown task.
    """
    check_new_name("metric", name, (*METRICS, "loss"))
    tables = {
        "classification": _CLASSIFICATION,
        "multilabel": _MULTILABEL,
        "regression": _REGRESSION,
    }
    for task in tasks:
        if task not in tables:
            raise UnknownNameError("task", task, tables)
    if not tasks:
        raise InputError(f"The metric {name} needs a task: {', '.join(tables)}.")
    METRICS[name] = Metric(tuple(tasks), higher_is_better)  # type: ignore[arg-type]
    for task in tasks:
        tables[task][name] = lambda predictions, y: float(function(predictions, y))


def higher_is_better(name: str) -> bool:
    """Return True if larger values of a metric, or of "loss", are better.

    Raises UnknownNameError for an unknown metric.
    """
    if name == "loss":
        return False
    if _TOP.fullmatch(name):
        return True
    if name not in METRICS:
        raise UnknownNameError("metric", name, [*METRICS, "loss"])
    return METRICS[name].higher_is_better


def default_metrics(task: Task) -> tuple[str, ...]:
    """Return the metrics of a task that are cheap enough for every epoch, the main one first."""
    return _DEFAULTS[task]


def check_metrics(task: Task, names: Iterable[str]) -> None:
    """Raise UnknownNameError for the first name that is not a metric of this task."""
    known = [name for name, metric in METRICS.items() if task in metric.tasks]
    for name in names:
        if name not in known and not (task == "classification" and _TOP.fullmatch(name)):
            kind = f"{task} metric" if name in METRICS or _TOP.fullmatch(name) else "metric"
            raise UnknownNameError(kind, name, known)


def classification_metrics(
    probabilities: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    names: Sequence[str],
    n_classes: int,
) -> dict[str, float]:
    """Compute metrics of class probabilities (N, C), or P(class 1) (N, 1), for labels 0 to C − 1.

    - accuracy, topK: ties go to the lowest class, as in argmax
    - log_loss: mean of −log p(label), p clipped to float64's epsilon
    - f1: of class 1 for two classes; else the mean over classes that occur or are predicted
    - roc_auc, average_precision: of class 1 for two classes; else one-vs-rest, averaged over
      classes, NaN if a class is absent

    Raises UnknownNameError for an unknown metric, InputError for shapes or labels that do not fit.
    """
    check_metrics("classification", names)
    p = np.asarray(probabilities, np.float64)
    if p.ndim == 2 and p.shape[1] == 1 and n_classes == 2:
        p = np.concatenate([1 - p, p], axis=1)
    y = np.asarray(labels)
    if p.shape != (len(y), n_classes) or y.ndim != 1:
        raise InputError(
            f"Metrics of {n_classes} classes need probabilities ({len(y)}, {n_classes}) for"
            f" labels of shape {y.shape}, not {p.shape}."
        )
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise InputError(
            f"Labels {y.min()} to {y.max()} are not all in the allowed 0 to {n_classes - 1}."
        )
    return _evaluate(_CLASSIFICATION, p, y, names)


def multilabel_metrics(
    probabilities: Float[np.ndarray, "N C"],
    targets: Shaped[np.ndarray, "N C"],
    names: Sequence[str],
) -> dict[str, float]:
    """Compute metrics of C independent probabilities (N, C) for targets (N, C) of 0 and 1.

    - accuracy: share of the N · C entries on the right side of ½ (1 − Hamming loss)
    - log_loss: sum over outputs of the binary log loss (as in MLPClassifier)
    - f1: at threshold ½, averaged over outputs that occur or are predicted
    - roc_auc, average_precision: mean over outputs, NaN if one is constant (for the latter: never
      1)

    Raises UnknownNameError for an unknown metric, InputError for shapes or targets that do not fit.
    """
    check_metrics("multilabel", names)
    p, y = np.asarray(probabilities, np.float64), np.asarray(targets)
    _check_same_shape("probabilities", p, "targets", y)
    if not ((y == 0) | (y == 1)).all():
        raise InputError("Multi-label targets must all be 0 or 1.")
    return _evaluate(_MULTILABEL, p, y == 1, names)


def regression_metrics(
    predictions: Float[np.ndarray, "N ..."],
    targets: Float[np.ndarray, "N ..."],
    names: Sequence[str],
) -> dict[str, float]:
    """Compute metrics of predictions for targets, (N, C) or (N,), averaged over outputs.

    rmse: root mean squared error per output; mae: mean absolute error; r2: 1 − Σ(y − ŷ)² / Σ(y −
    ȳ)², and for a constant output 1 if ŷ = y, else 0, as in scikit-learn. Raises UnknownNameError
    for an unknown metric, InputError for shapes that differ.
    """
    check_metrics("regression", names)
    s, y = (np.asarray(values, np.float64) for values in (predictions, targets))
    s, y = (values[:, None] if values.ndim == 1 else values for values in (s, y))
    _check_same_shape("predictions", s, "targets", y)
    return _evaluate(_REGRESSION, s, y, names)


_ALWAYS_DEFINED = {"accuracy", "top2", "top3", "top5", "log_loss", "rmse", "mae"}
_WHY_UNDEFINED = {
    "roc_auc": "a class has no rows, or all rows are of one class",
    "average_precision": "a class has no rows",
    "f1": "no label occurs or is predicted",
    "r2": "it needs at least 2 rows",
}


def undefined(found: Mapping[str, float], rows: str) -> list[str]:
    """Return a sentence for each metric that is NaN, with the reason.

    Metrics without an entry in `_WHY_UNDEFINED` are NaN only for non-finite outputs.
    """
    names = [name for name, value in found.items() if name != "loss" and np.isnan(value)]
    if any(name in _ALWAYS_DEFINED for name in names):
        return [f"No metric is defined on {rows}: the network's outputs are not finite."]
    why = "its function returned NaN"
    return [f"{name} is undefined on {rows}: {_WHY_UNDEFINED.get(name, why)}." for name in names]


def _check_same_shape(left: str, a: np.ndarray, right: str, b: np.ndarray) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise InputError(
            f"Metrics need {left} and {right} of one shape (rows, outputs),"
            f" not {a.shape} and {b.shape}."
        )


@np.errstate(over="ignore", invalid="ignore")  # an overflow gives inf, which is clear
def _evaluate(
    table: Mapping[str, _Function], outputs: np.ndarray, y: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    if outputs.size == 0 or not np.isfinite(outputs).all():
        return dict.fromkeys(names, float("nan"))
    values = {}
    for name in names:
        top = _TOP.fullmatch(name)
        values[name] = _top_k(outputs, y, int(top[1])) if top else table[name](outputs, y)
    return values


def _accuracy(p: np.ndarray, y: np.ndarray) -> float:
    return float((p.argmax(axis=1) == y).mean())


def _entry_accuracy(p: np.ndarray, y: np.ndarray) -> float:
    return float(((p > 0.5) == y).mean())


def _top_k(p: np.ndarray, y: np.ndarray, k: int) -> float:
    own = np.take_along_axis(p, y[:, None], axis=1)
    comes_first = (p > own) | ((p == own) & (np.arange(p.shape[1]) < y[:, None]))
    return float((comes_first.sum(axis=1) < k).mean())


def _log_loss(p: np.ndarray, y: np.ndarray) -> float:
    own = np.take_along_axis(p, y[:, None], axis=1)
    return float(-np.log(own.clip(_SMALLEST, 1)).mean())


def _log_loss_of_outputs(p: np.ndarray, y: np.ndarray) -> float:
    own = np.where(y, p, 1 - p)
    return float(-np.log(own.clip(_SMALLEST, 1)).mean(axis=0).sum())


def _f1(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return 2TP / (2TP + FP + FN) of boolean columns, averaged over columns without 0/0."""
    doubles, sizes = 2 * (predicted & y).sum(axis=0), predicted.sum(axis=0) + y.sum(axis=0)
    defined = sizes > 0
    return float((doubles[defined] / sizes[defined]).mean()) if defined.any() else float("nan")


def _roc_auc(p: np.ndarray, y: np.ndarray) -> float:
    if not (y.any(axis=0) & ~y.all(axis=0)).all():
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(np.mean([roc_auc_score(*column) for column in zip(y.T, p.T, strict=True)]))


def _average_precision(p: np.ndarray, y: np.ndarray) -> float:
    if not y.any(axis=0).all():
        return float("nan")
    from sklearn.metrics import average_precision_score as score

    return float(np.mean([score(*column) for column in zip(y.T, p.T, strict=True)]))


def _columns(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one binary problem per class; for two classes that of class 1 only."""
    first = 1 if values.shape[1] == 2 else 0
    is_class = labels[:, None] == np.arange(values.shape[1])
    return values[:, first:], is_class[:, first:]


def _class_f1(p: np.ndarray, y: np.ndarray) -> float:
    return _f1(*_columns(p.argmax(axis=1)[:, None] == np.arange(p.shape[1]), y))


def _r2(s: np.ndarray, y: np.ndarray) -> float:
    if len(y) < 2:
        return float("nan")
    residual = ((y - s) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    constant = total == 0
    share = residual / np.where(constant, 1, total)
    return float((1 - np.where(constant, residual > 0, share)).mean())


_CLASSIFICATION: dict[str, _Function] = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "roc_auc": lambda p, y: _roc_auc(*_columns(p, y)),
    "average_precision": lambda p, y: _average_precision(*_columns(p, y)),
    "f1": _class_f1,
}
_MULTILABEL: dict[str, _Function] = {
    "accuracy": _entry_accuracy,
    "log_loss": _log_loss_of_outputs,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "f1": lambda p, y: _f1(p > 0.5, y),
}
_REGRESSION: dict[str, _Function] = {
    "rmse": lambda s, y: float(np.sqrt(((s - y) ** 2).mean(axis=0)).mean()),
    "mae": lambda s, y: float(np.abs(s - y).mean()),
    "r2": _r2,
}
