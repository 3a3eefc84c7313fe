"""Validate rows, targets and weights; split them, and encode targets for the loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.data import Dataset, Split, Splits, class_weights, from_arrays, split
from mlp_jax.data.source import Streamed
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.judge import class_count, encode_targets, labels_of

Rows = Split | Streamed | tuple[Any, Any]


def pair(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y as arrays; raise InputError for streamed rows."""
    if isinstance(rows, Streamed):
        raise InputError("Streamed rows can only be training rows; give arrays here.")
    x, y = (rows.x, rows.y) if isinstance(rows, Split) else rows
    return np.asarray(x), np.asarray(y)


def checked_rows(
    network: Layer,
    loss: Loss,
    data: Rows,
    validation: Rows | float | None,
    seed: int,
    sample_weight: Any = None,
) -> tuple[Split, Split | None, int, np.ndarray | None]:
    """Return valid (training rows, validation rows or None, number of classes or 0, weights).

    sample_weight: one per row of `data`; the result has those of the training rows.
    """
    x, y = pair(data)
    n_outputs = network.width_out(x.shape[-1] if x.ndim else 0)
    n_classes = class_count(loss, y, n_outputs)
    dataset = _usable("the data", x, y, n_classes)
    weights = _sample_weights(sample_weight, len(dataset.train))
    if validation is None or isinstance(validation, (float, int)):
        fraction = float(validation or 0)
        parts = split(dataset, test=None, validation=fraction, seed=seed)
        if weights is not None:
            weights = weights[_training_places(dataset, fraction, seed)]
    else:
        judged = _usable("the validation data", *pair(validation), n_classes).train
        if judged.x.shape[1] != x.shape[1]:
            raise InputError(
                f"The data have {x.shape[1]} features, but the validation data {judged.x.shape[1]}."
            )
        parts = Splits(dataset.train, judged, None)
    train = coded(loss, parts.train, n_outputs)
    watched = None if parts.validation is None else coded(loss, parts.validation, n_outputs)
    return train, watched, n_classes, weights


def coded(loss: Loss, rows: Split, n_outputs: int, *, numbered: bool = True) -> Split:
    """Return the rows with validated targets in the encoding of the loss.

    numbered: name the row in an error; its position here is its number.
    """
    targets = encode_targets(loss, rows.y, n_outputs)
    check_targets(loss, targets, n_outputs, numbered=numbered)
    return Split(rows.x, targets)


def _usable(name: str, x: np.ndarray, y: np.ndarray, n_classes: int) -> Dataset:
    """Return the rows as a validated data set; integers (N,) are class labels."""
    if n_classes and y.ndim == 1:
        names = [str(label) for label in range(n_classes)]
        return from_arrays(name, x, y, task="classification", classes=names)
    return from_arrays(name, x, y, task="regression")


def _training_places(dataset: Dataset, fraction: float, seed: int) -> np.ndarray:
    """Return the positions of the training rows of `split` in the data."""
    places = np.arange(len(dataset.train), dtype=np.float64)[:, None]
    numbered = Dataset(
        name="places",
        train=Split(places, dataset.train.y),
        test=None,
        classes=dataset.classes,
        image_shape=None,
    )
    parts = split(numbered, test=None, validation=fraction, seed=seed)
    return parts.train.x[:, 0].astype(np.int64)


def _sample_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        raise InputError(f"There are {n} rows but sample weights of shape {weights.shape}.")
    if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not np.any(weights > 0):
        raise InputError("Sample weights must be finite, not negative, and not all 0.")
    return weights


def check_batch(batch_size: int, n: int) -> None:
    """Raise InputError for a batch size larger than n training rows."""
    if batch_size > n:
        raise InputError(
            f"A batch of {batch_size} examples needs as many training rows, but there are {n}: use"
            f" a batch size of at most {n}."
        )


def row_weights(
    rows: Split,
    weights: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    n_classes: int,
) -> np.ndarray | None:
    """Return the weight of each row, times that of its class; None for equal weights."""
    if class_weight is None:
        return weights
    if not n_classes:
        raise InputError("Class weights need labels; these targets are numbers.")
    labels = labels_of(rows.y)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise UnknownNameError("class weight", class_weight, ["balanced"])
        each = class_weights(labels, n_classes).astype(np.float64)
    else:
        each = np.asarray(class_weight, np.float64)
        if each.shape != (n_classes,) or not np.all(np.isfinite(each)) or np.any(each < 0):
            raise InputError(f"Class weights must be {n_classes} finite numbers, none negative.")
    return each[labels] if weights is None else weights * each[labels]


def check_seed(seed: int) -> None:
    """Raise InputError for an invalid seed."""
    if not 0 <= seed < 2**32:
        raise InputError(f"A seed must lie between 0 and 2^32 - 1, not {seed}.")
