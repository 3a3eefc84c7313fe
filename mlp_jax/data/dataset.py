"""`Dataset`: checked arrays in memory, with their meaning.

Letters: N rows, I features, C classes or outputs. Rows and columns count from 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from mlp_jax.data.encoding import LabelType
from mlp_jax.errors import InputError

_X_DTYPES = (np.uint8, np.float32, np.float64)
_TARGET_DTYPES = (np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows and their targets.

    Attributes:
        x: rows (N, I).
        y: int32 labels (N,), or floats (N,) or (N, C).
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows, a separate test set if there is one, and their meaning.

    InputError, with the place, for data that cannot be trained on.

    Attributes:
        name: name in messages.
        train: training rows; x is uint8 (pixels), float32 or float64.
        test: test rows, or None.
        classes: names of the labels 0 to C − 1; empty for regression.
        image_shape: (height, width) or (height, width, 3) of a row of pixels, else None.
        feature_names: names of the columns of x, or empty.
        label_type: type of the original labels, which predictions have again.
        notes: what was inferred, for the user.
    """

    name: str
    train: Split
    test: Split | None
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None
    feature_names: tuple[str, ...] = ()
    label_type: LabelType = "text"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        alone = self.test is None
        _check_part(self, self.train, place(self.name, "" if alone else "training"))
        if self.test is not None:
            _check_part(self, self.test, place(self.name, "test"))
        _check_meaning(self)

    @property
    def is_classification(self) -> bool:
        """True if y holds labels of `classes`."""
        return bool(self.classes)

    @property
    def n_features(self) -> int:
        """Number of columns of x."""
        return self.train.x.shape[1]

    @property
    def n_outputs(self) -> int:
        """Number of classes, or of columns of y (1 if y is (N,))."""
        if self.classes:
            return len(self.classes)
        return 1 if self.train.y.ndim == 1 else self.train.y.shape[1]


def place(name: str, part: str) -> str:
    """Return the name of a part of a set in messages; part: "" if it has only one.

    Unnamed sets are "the data", "the validation data".
    """
    rows = f"{part} rows" if part else "rows"
    return name if name.startswith("the ") else f"the {rows} of '{name}'"


def check_labels(y: np.ndarray, n_classes: int, where: str) -> None:
    """Raise InputError unless whole-number labels y (N,) all lie in 0 to n_classes - 1."""
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    if wrong.size:
        row = wrong[0]
        raise InputError(
            f"In {where}, label {y[row]} in row {row} is outside the allowed 0 to {n_classes - 1}"
            f" ({_count(wrong.size, 'such label')})."
        )


def _check_part(dataset: Dataset, part: Split, where: str) -> None:
    x, y = part.x, part.y
    if x.ndim != 2:
        raise InputError(f"In {where}, x must be 2-d (rows, features), but has shape {x.shape}.")
    if x.size == 0:
        raise InputError(f"In {where}, x is empty: its shape is {x.shape}.")
    if x.dtype not in _X_DTYPES:
        raise InputError(f"In {where}, x must be uint8, float32 or float64, not {x.dtype}.")
    if y.ndim == 0 or len(x) != len(y):
        length = _count(len(y), "row") if y.ndim else "none"
        raise InputError(f"In {where}, x has {_count(len(x), 'row')}, but y has {length}.")
    _check_finite(x, "x", where, dataset.feature_names)
    if dataset.is_classification:
        if y.ndim != 1 or y.dtype != np.int32:
            raise InputError(
                f"In {where}, labels must be int32 of shape ({len(x)},),"
                f" but y is {y.dtype} of shape {y.shape}."
            )
        check_labels(y, len(dataset.classes), where)
        return
    if y.ndim > 2 or y.size == 0 or y.dtype not in _TARGET_DTYPES:
        raise InputError(
            f"In {where}, targets must be float32 or float64 of shape (rows,) or (rows, outputs),"
            f" but y is {y.dtype} of shape {y.shape}."
        )
    _check_finite(y, "y", where, ())


def _check_finite(
    values: np.ndarray, letter: str, where: str, column_names: tuple[str, ...]
) -> None:
    if values.dtype == np.uint8:
        return
    finite = np.isfinite(values)
    if finite.all():
        return
    bad = values.size - int(np.count_nonzero(finite))
    row, *columns = (int(i) for i in np.unravel_index(int(np.argmin(finite)), values.shape))
    place = f"row {row}"
    if columns:
        place += f", column {columns[0]}"
        if columns[0] < len(column_names):
            place += f" ('{column_names[columns[0]]}')"
    raise InputError(
        f"In {where}, {letter} has {_count(bad, 'value')} that {'is' if bad == 1 else 'are'} NaN"
        f" or infinite, the first ({values[(row, *columns)]}) in {place}."
    )


def _check_meaning(dataset: Dataset) -> None:
    name, width, shape = dataset.name, dataset.n_features, dataset.image_shape
    if dataset.test is not None:
        if dataset.test.x.shape[1] != width:
            raise InputError(
                f"In '{name}', the training rows have {_count(width, 'feature')},"
                f" but the test rows {dataset.test.x.shape[1]}."
            )
        if dataset.test.y.shape[1:] != dataset.train.y.shape[1:]:
            raise InputError(
                f"In '{name}', y has shape {dataset.train.y.shape} in the training rows,"
                f" but {dataset.test.y.shape} in the test rows."
            )
    if len(set(dataset.classes)) != len(dataset.classes):
        raise InputError(f"In '{name}', a class name occurs twice: {', '.join(dataset.classes)}.")
    if shape is not None and math.prod(shape) != width:
        raise InputError(
            f"In '{name}', images of {' × '.join(map(str, shape))} pixels need"
            f" {math.prod(shape)} features, but x has {width}."
        )
    if dataset.feature_names and len(dataset.feature_names) != width:
        raise InputError(
            f"In '{name}', x has {_count(width, 'feature')},"
            f" but there are {_count(len(dataset.feature_names), 'feature name')}."
        )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
