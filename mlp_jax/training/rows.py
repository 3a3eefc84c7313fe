"""Rows, targets and weights as `fit` takes them: checked, split, and put in the loss's terms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.losses import check_targets
from mlp_jax.data import Split, Splits, class_weights, from_arrays, split
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.evaluate import class_count, encode_targets, labels_of

Rows = Split | tuple[Any, Any]


def _pair(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    x, y = (rows.x, rows.y) if isinstance(rows, Split) else rows
    return np.asarray(x), np.asarray(y)


def checked_rows(
    network: Layer, loss: Loss, data: Rows, validation: Rows | float | None, seed: int
) -> tuple[Split, Split | None, int]:
    """(training rows, validation rows or None, number of classes or 0), all usable."""
    x, y = _pair(data)
    fraction = float(validation) if isinstance(validation, (float, int)) else 0.0
    given = None if isinstance(validation, (float, int, type(None))) else _pair(validation)
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
    if given is None:
        parts = split(dataset, test=None, validation=fraction, seed=seed)
    else:
        parts = Splits(dataset.train, dataset.test, None)
    coded = [
        part if part is None else Split(part.x, encode_targets(loss, part.y, n_outputs))
        for part in (parts.train, parts.validation)
    ]
    train, watched = coded
    assert train is not None
    check_targets(loss, train.y, n_outputs)
    return train, watched, n_classes


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
    sample_weight: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    n_classes: int,
) -> np.ndarray | None:
    """How much each row counts, or None where all count the same."""
    weights = None
    if sample_weight is not None:
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != (len(rows),):
            raise InputError(
                f"There are {len(rows)} training rows but sample weights of shape {weights.shape}."
            )
        if not np.all(np.isfinite(weights)) or np.any(weights < 0) or not np.any(weights > 0):
            raise InputError("Sample weights are finite, not negative, and not all 0.")
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
