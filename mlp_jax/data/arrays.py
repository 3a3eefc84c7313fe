"""Arrays as a Dataset: images flattened, labels encoded.

Letters: N rows, I features, C classes or outputs.
"""

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np

from mlp_jax.data.dataset import Dataset, Split, check_labels, place
from mlp_jax.data.encoding import LabelType
from mlp_jax.data.task import TaskDecision, decide
from mlp_jax.errors import InputError, UnknownNameError

TASKS = ("auto", "classification", "regression")
_FAR = 2.0**63  # beyond int64


def from_arrays(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    *,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    task: str = "auto",
    classes: Sequence[str] | None = None,
    feature_names: tuple[str, ...] = (),
) -> Dataset:
    """Make a Dataset of arrays.

    Args:
        name: name in messages.
        x: rows (N, I), or images (N, H, W) or (N, H, W, channels) with 1 channel for grey or 3 for
            RGB. uint8 and float64 are kept, other numbers become float32.
        y: labels or targets (N,), or targets (N, C).
        test: test rows (x, y).
        task: "classification", "regression" or "auto": strings and booleans (N,) are labels,
            numbers follow the rule of `task.py`, and (N, C) are targets.
        classes: names of the classes; whole numbers are indices and strings are looked up (default:
            the sorted distinct values of all rows, predicted in the type of the training rows).
        feature_names: names of the columns of x.

    Returns:
        The set.

    Raises:
        InputError: for what Dataset cannot hold.
        UnknownNameError: for an unknown task.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    inputs, targets = ([x], [y]) if test is None else ([x, test[0]], [y, test[1]])
    parts = ("",) if test is None else ("training", "test")
    places = [place(name, part) for part in parts]
    flat, shape = _same_features(name, inputs, places)
    task = "classification" if classes is not None and targets[0].dtype.kind != "f" else task
    decision = decide_array(targets[0], task)
    names: tuple[str, ...] = ()
    if decision.is_class:
        encoded, names = _encode(targets, places, classes)
    elif classes is not None:
        raise InputError(
            f"'{name}' names classes, but its y is {targets[0].dtype}, which cannot be labels."
        )
    else:
        encoded = [_targets(y, where) for y, where in zip(targets, places, strict=True)]
    splits = [Split(x, y) for x, y in zip(flat, encoded, strict=True)]
    counted = names == tuple(map(str, range(len(names))))  # the names are the indices
    return Dataset(
        name=name,
        train=splits[0],
        test=splits[1] if test is not None else None,
        classes=names,
        image_shape=image_shape(shape),
        feature_names=feature_names,
        label_type=label_type_of(targets[0].dtype) if classes is None or counted else "text",
        notes=task_notes(decision, len(names)),
    )


def label_type_of(dtype: np.dtype) -> LabelType:
    """Return the type of predicted labels for training labels of a dtype."""
    usual: dict[str, LabelType] = {"bool": "boolean", "int64": "integer", "float64": "number"}
    if dtype.name in usual:
        return usual[dtype.name]
    known: tuple[LabelType, ...] = get_args(LabelType)
    return next((kind for kind in known if kind == dtype.name), "text")


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return (height, width) of grey images, (height, width, 3) of colour images; else None."""
    if not shape or (len(shape) == 3 and shape[2] not in (1, 3)):
        return None
    return shape[:2] if shape[2:] == (1,) else shape


def _same_features(
    name: str, parts: Sequence[np.ndarray], places: Sequence[str]
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Return the rows of each part, and the shape of the image of each row, which they share."""
    found = [_features(x, where) for x, where in zip(parts, places, strict=True)]
    shapes = [shape for _, shape in found]
    if len(set(shapes)) > 1:
        raise InputError(
            f"In '{name}', x holds images of shape {shapes[0]} in the training rows,"
            f" but {shapes[1]} in the test rows."
        )
    return [x for x, _ in found], shapes[0]


def _features(x: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return rows of numbers (N, I), and the shape of the image of each row, or ()."""
    if x.dtype.kind not in "biuf":
        raise InputError(f"In {where}, x must hold numbers, but its dtype is {x.dtype}.")
    shape = x.shape[1:] if x.ndim in (3, 4) else ()
    if shape:
        x = x.reshape(len(x), math.prod(shape))
    return np.asarray(x, dtype=kept_dtype(x.dtype), order="C"), shape


def _targets(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind not in "biuf":
        raise InputError(f"In {where}, y must hold numbers, but its dtype is {y.dtype}.")
    dtype = np.float64 if kept_dtype(y.dtype) == np.float64 else np.float32
    return np.asarray(y, dtype=dtype, order="C")


def kept_dtype(dtype: np.dtype) -> type[np.uint8 | np.float32 | np.float64]:
    """Return the type in which x is stored: uint8 and float64 unchanged, other numbers float32."""
    if dtype == np.uint8:
        return np.uint8
    return np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32


def decide_array(y: np.ndarray, task: str) -> TaskDecision:
    """Decide whether targets (N,) or (N, C), or their distinct values, are labels.

    The reason is "" if it is obvious.
    """
    if task != "auto":
        return TaskDecision(task == "classification", "")
    if y.dtype.kind not in "iuf":
        return TaskDecision(True, "")
    if y.ndim > 1 and y.shape[1] > 1:
        return TaskDecision(y.dtype.kind != "f", "")
    finite = y[np.isfinite(y)] if y.dtype.kind == "f" else y
    values, rows = np.unique(finite, return_counts=True)
    return decide("y", values.astype(np.float64), rows, whole_array=y.dtype.kind != "f")


def task_notes(decision: TaskDecision, n_classes: int) -> tuple[str, ...]:
    """Return notes for the user on how the task was decided."""
    if not decision.reason:
        return ()
    if decision.is_class:
        task = f"classification with {n_classes} classes, since {decision.reason}"
        return (f"Target y: {task} (--task regression predicts numbers).",)
    other = (
        "" if "fraction" in decision.reason else " (--task classification reads them as classes)"
    )
    return (f"Target y: regression, since {decision.reason}{other}.",)


def _encode(
    targets: list[np.ndarray], places: list[str], classes: Sequence[str] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return labels as int32 (N,) for each part, and the class names."""
    labels = [labels_of(y, where) for y, where in zip(targets, places, strict=True)]
    widest = next((y.dtype for y in labels if y.dtype == np.uint64), labels[0].dtype)
    labels = [_of_same_kind(y, widest) for y in labels]
    if len({y.dtype.kind for y in labels}) > 1:
        raise InputError(
            f"The labels are {targets[0].dtype} in {places[0]},"
            f" but {targets[1].dtype} in {places[1]}."
        )
    is_text = labels[0].dtype.kind == "U"
    if classes is None:
        distinct, index = np.unique(np.concatenate(labels), return_inverse=True)
        ends = np.cumsum([len(y) for y in labels])[:-1]
        return np.split(index.astype(np.int32), ends), tuple(str(c) for c in distinct)
    names = tuple(str(c) for c in classes)
    if not names:
        raise InputError(f"The list of classes for {places[0]} is empty.")
    if is_text:
        labels = [_look_up(y, names, where) for y, where in zip(labels, places, strict=True)]
    for y, where in zip(labels, places, strict=True):
        check_labels(y, len(names), where)
    return [y.astype(np.int32) for y in labels], names


def _of_same_kind(y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast labels that equal those of type `dtype` except in type: True and 1 are one label."""
    kinds = y.dtype.kind + dtype.kind
    same = kinds in ("bi", "bu") or (kinds[0] in "iu" and _holds(dtype, y))
    return y.astype(dtype) if same else y


def _holds(dtype: np.dtype, y: np.ndarray) -> bool:
    """Return True if an integer or boolean dtype holds these whole numbers."""
    if dtype.kind == "b":
        return bool(np.isin(y, (0, 1)).all())
    return dtype.kind == "u" and bool((y >= 0).all())


def labels_of(y: np.ndarray, where: str, first_row: int = 0) -> np.ndarray:
    """Return labels (N,) as int64, uint64 if that is too small, bool or str.

    first_row: number of the first row in messages. Raises InputError for values that cannot be
    labels.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(
            f"In {where}, labels must have shape (rows,), but y has shape {y.shape};"
            " for one-hot rows use y.argmax(axis=1)."
        )
    kind = y.dtype.kind
    if kind in "UT":
        return y.astype(np.str_)
    if kind == "S":
        return np.char.decode(y, "utf-8", "backslashreplace")
    if kind == "b":
        return y
    if kind not in "iuf":
        raise InputError(
            f"In {where}, labels must be whole numbers or strings, but y is {y.dtype}."
        )
    if kind == "f":
        broken = np.flatnonzero(~(np.abs(y) < _FAR) | (y != np.trunc(y)))
        if broken.size:
            raise InputError(
                f"In {where}, labels must be whole numbers within int64, but row"
                f" {first_row + broken[0]} has {y[broken[0]]}."
            )
    return y if kind == "u" and y.size and y.max() >= _FAR else y.astype(np.int64)


def _look_up(y: np.ndarray, names: tuple[str, ...], where: str) -> np.ndarray:
    number = {name: i for i, name in enumerate(names)}
    distinct, index = np.unique(y, return_inverse=True)
    for label in distinct:
        if label not in number:
            row = np.flatnonzero(y == label)[0]
            raise InputError(
                f"In {where}, label '{label}' in row {row} is not one of the classes:"
                f" {', '.join(names)}."
            )
    return np.array([number[label] for label in distinct], dtype=np.int64)[index]
