"""Rows, targets and weights as `fit` takes them: checked, split, and put in the loss's terms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.data import Dataset, Split, Splits, class_weights, from_arrays, split
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.evaluate import class_count, encode_targets, labels_of

Rows = Split | tuple[Any, Any]


def pair(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """x and y as arrays."""
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
    """(training rows, validation rows or None, number of classes or 0, weights), all usable.

    sample_weight: one a row of `data`; those that are returned belong to the training rows.
    """
    x, y = pair(data)
    fraction = float(validation) if isinstance(validation, (float, int)) else 0.0
    given = None if isinstance(validation, (float, int, type(None))) else pair(validation)
    n_outputs = network.width_out(x.shape[-1] if x.ndim else 0)
    n_classes = class_count(loss, y, n_outputs)
    names = [str(label) for label in range(n_classes)]
    labels = n_classes > 0 and y.ndim == 1
    dataset = from_arrays(
        "the data",
        x,
        y,
        test=given,
        task="classification" if labels else "regression",
        classes=names if labels else None,
    )
    weights = _sample_weights(sample_weight, len(dataset.train))
    if given is None:
        parts = split(dataset, test=None, validation=fraction, seed=seed)
        if weights is not None:
            weights = weights[_training_places(dataset, fraction, seed)]
    else:
        parts = Splits(dataset.train, dataset.test, None)
    coded = [
        part if part is None else Split(part.x, encode_targets(loss, part.y, n_outputs))
        for part in (parts.train, parts.validation)
    ]
    train, watched = coded
    assert train is not None
    for part in coded:
        if part is not None:
            check_targets(loss, part.y, n_outputs)
            _check_target_range(loss, part.y)
    return train, watched, n_classes, weights


def _training_places(dataset: Dataset, fraction: float, seed: int) -> np.ndarray:
    """Where in the data the rows stand that `split` leaves for training."""
    places = np.arange(len(dataset.train), dtype=np.float64)[:, None]
    numbered = Dataset("places", Split(places, dataset.train.y), None, dataset.classes, None)
    parts = split(numbered, test=None, validation=fraction, seed=seed)
    return parts.train.x[:, 0].astype(np.int64)


def _sample_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        raise InputError(f"There are {n} rows but sample weights of shape {weights.shape}.")
    if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not np.any(weights > 0):
        raise InputError("Sample weights are finite, not negative, and not all 0.")
    return weights


def _check_target_range(loss: Loss, y: np.ndarray) -> None:
    """InputError for a target that the loss has no meaning for."""
    kind = loss.function.targets
    shares = kind == "binary" or (kind == "classes" and y.ndim == 2)
    if not shares and loss.name != "poisson":
        return
    wrong = (y < 0) | (y > 1) if shares else y < 0
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        allowed = "from 0 to 1" if shares else "that are not negative"
        raise InputError(
            f"The loss {loss} needs targets {allowed}, but row {place[0]} has {y[place]:g}."
        )


def check_numbers(
    epochs: int, batch_size: int, patience: int | None, average: float | None, seed: int, n: int
) -> None:
    """InputError for a number that no training can use."""
    if epochs < 1:
        raise InputError(f"Training needs at least 1 epoch, not {epochs}.")
    if not 1 <= batch_size <= n:
        raise InputError(
            f"A batch size lies between 1 and the {n} training rows, so {batch_size} cannot be."
        )
    if not 0 <= seed < 2**32:
        raise InputError(f"A seed lies between 0 and 2^32 - 1, so {seed} cannot be one.")
    if patience is not None and patience < 1:
        raise InputError(f"Patience is at least 1 epoch, not {patience}.")
    if average is not None and not 0 < average < 1:
        raise InputError(f"The decay of a weight average lies between 0 and 1, not {average}.")


def row_weights(
    rows: Split,
    weights: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    n_classes: int,
) -> np.ndarray | None:
    """How much each row counts, by its own weight and its class's; None where all are the same."""
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
            raise InputError(f"Class weights are {n_classes} finite numbers, none negative.")
    return each[labels] if weights is None else weights * each[labels]
