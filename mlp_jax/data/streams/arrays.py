"""Rows of .npy and IDX files: x and y beside each other, read from disk as they are asked for.

Letters: N rows, M rows asked for, I features.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer

from mlp_jax.data.arrays import (
    TASKS,
    decide_array,
    image_shape,
    kept_dtype,
    label_type_of,
    labels_of,
    task_notes,
)
from mlp_jax.data.idx import FILES, find_idx, idx_layout
from mlp_jax.data.source import Rows
from mlp_jax.data.streams.array_files import ArrayFiles, FileLayout, npy_layout
from mlp_jax.data.task import TaskDecision, decide
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

_CHUNK = 1 << 20  # labels at a time
_MOST_CLASSES = 1 << 16


class ArraySource:
    """Rows of arrays in files, as `from_arrays` would have them: x (N, I), labels from 0 or floats.

    classes: the name of each label; () where numbers are predicted. image_shape: of a row of
    pixels, (height, width) or (height, width, 3), else None. least_classes: above 0, every label
    below it or below the largest counts, whether it is there or not.
    """

    def __init__(
        self, name: str, x: ArrayFiles, y: ArrayFiles, task: str = "auto", least_classes: int = 0
    ) -> None:
        if task not in TASKS:
            raise UnknownNameError("task", task, TASKS)
        if len(x) != len(y):
            raise InputError(f"In '{name}', x has {len(x)} rows, but y has {len(y)}.")
        for letter, part in (("x", x), ("y", y)):
            if part.dtype.kind not in "biuf":
                raise InputError(f"In '{name}', {letter} must hold numbers, but is {part.dtype}.")
        if not 1 <= len(x.row_shape) <= 3 or len(y.row_shape) > 1:
            raise InputError(
                f"In '{name}', x must hold rows of features or images and y one value or one row of"
                f" values each, but they hold {x.row_shape} and {y.row_shape}."
            )
        self._x, self._y = x, y
        self.name = name
        self.n_features = math.prod(x.row_shape)
        self.image_shape = image_shape(x.row_shape) if len(x.row_shape) > 1 else None
        self._values = None
        decision = self._decision(task)
        if decision.is_class:
            self._values = self._distinct()
            if least_classes:
                self._values = np.arange(max(least_classes, int(self._values[-1]) + 1))
        self._counted = self._values is not None and np.array_equal(
            self._values, np.arange(len(self._values))
        )
        named = () if self._values is None else self._values.tolist()
        self.notes = task_notes(decision, len(named))
        self.label_type = label_type_of(y.dtype)
        self.classes = tuple(str(bool(v)) if y.dtype.kind == "b" else str(v) for v in named)

    def __len__(self) -> int:
        return len(self._x)

    def read(self, rows: Int64[np.ndarray, " M"]) -> Rows:
        """These rows in this order."""
        x = self._x.take(rows).reshape(len(rows), self.n_features)
        return Rows(x.astype(kept_dtype(x.dtype), copy=False), self.read_targets(rows))

    def read_targets(self, rows: Int64[np.ndarray, " M"]) -> np.ndarray:
        """y of these rows: labels (M,) int32, or floats (M,) or (M, C)."""
        y = self._y.take(rows)
        if self._values is None:
            dtype = np.float64 if kept_dtype(y.dtype) == np.float64 else np.float32
            return y.astype(dtype, copy=False)
        y = y.reshape(len(rows))
        return (y if self._counted else np.searchsorted(self._values, y)).astype(np.int32)

    def _decision(self, task: str) -> TaskDecision:
        """Decide whether y is labels, as `decide_array` does, in a pass that ends when it is clear.

        More than _MOST_CLASSES different numbers are none, and neither are fractions.
        """
        if task != "auto" or self._y.row_shape not in ((), (1,)) or self._y.dtype.kind == "b":
            return decide_array(np.zeros((1, *self._y.row_shape), self._y.dtype), task)
        counts: Counter[float] = Counter()
        for start in range(0, len(self), _CHUNK):
            y = self._y.take(np.arange(start, min(start + _CHUNK, len(self)))).reshape(-1)
            values, rows = np.unique(y[np.isfinite(y)], return_counts=True)
            counts.update(dict(zip(values.tolist(), rows.tolist(), strict=True)))
            if (values != np.floor(values)).any() or len(counts) > _MOST_CLASSES:
                break
        ordered = sorted(counts)
        rows_of = np.array([counts[value] for value in ordered])
        whole = self._y.dtype.kind != "f"
        return decide("y", np.array(ordered, np.float64), rows_of, whole_array=whole)

    def _distinct(self) -> Integer[np.ndarray, " C"]:
        """The distinct labels in their order."""
        kind = np.uint64 if self._y.dtype == np.uint64 else np.int64
        found: np.ndarray = np.zeros(0, kind)
        for start in range(0, len(self), _CHUNK):
            y = self._y.take(np.arange(start, min(start + _CHUNK, len(self))))
            labels = labels_of(y, f"y of '{self.name}'", start).astype(kind)
            found = np.union1d(found, labels)
            if len(found) > _MOST_CLASSES:
                raise InputError(
                    f"y of '{self.name}' has more than {_MOST_CLASSES} different whole numbers: set"
                    " the task to regression to predict them as numbers."
                )
        return found


def open_npy(x: Path, y: Path, *, task: str = "auto") -> ArraySource:
    """The rows of two .npy files. `task` is what it is to `from_arrays`.

    Raises DataFileError for a file that is missing or cut off, InputError for arrays that are not
    rows of numbers and their targets.
    """
    return ArraySource(x.stem, ArrayFiles([npy_layout(x)]), ArrayFiles([npy_layout(y)]), task)


def open_npy_folder(folder: Path, *, task: str = "auto") -> ArraySource:
    """The rows of the files x*.npy of a folder in the order of their names, each with its y*.npy.

    Raises DataFileError for a folder that is missing, has none, or where one has no partner, and
    InputError as `open_npy` does, and for files that hold different rows.
    """
    if not folder.is_dir():
        raise DataFileError(f"There is no folder '{folder}'.")
    xs = sorted(path for path in folder.glob("*.npy") if path.name.startswith("x"))
    if not xs:
        raise DataFileError(f"'{folder}' has no file called x….npy.")
    ys = [path.with_name("y" + path.name[1:]) for path in xs]
    for x, y in zip(xs, ys, strict=True):
        if not y.is_file():
            raise DataFileError(f"'{folder}' has {x.name}, but no matching {y.name}.")
    pairs = [(npy_layout(x), npy_layout(y)) for x, y in zip(xs, ys, strict=True)]
    for a, b in pairs:
        if a.shape[0] != b.shape[0]:
            raise InputError(f"'{a.path}' has {a.shape[0]} rows, but '{b.path}' has {b.shape[0]}.")
    x_files, y_files = zip(*pairs, strict=True)
    return ArraySource(folder.resolve().name, ArrayFiles(x_files), ArrayFiles(y_files), task)


def open_idx(folder: Path, *, test: bool = False) -> ArraySource:
    """The training (or test) images and labels of a folder of MNIST's file names, not gzipped.

    Raises DataFileError for files that are missing, gzipped or not IDX, InputError for what they
    hold.
    """
    if not folder.is_dir():
        raise DataFileError(f"There is no folder '{folder}'.")
    names = FILES[2:] if test else FILES[:2]
    found = [find_idx(folder, name) for name in names]
    for name, path in zip(names, found, strict=True):
        if path is None:
            raise DataFileError(f"'{folder}' has no {name}.")
    x, y = (ArrayFiles([FileLayout(path, *idx_layout(path))]) for path in found if path is not None)
    return ArraySource(folder.resolve().name, x, y, "classification", least_classes=10)
