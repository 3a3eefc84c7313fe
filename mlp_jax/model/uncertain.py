"""A saved model with its Laplace approximation: predictions averaged over the weights.

Letters: N rows, I features, C classes or outputs.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from mlp_jax.data.dataset import Dataset
from mlp_jax.data.table import Table
from mlp_jax.model.inference import Outputs, runnable_precision
from mlp_jax.model.judge import Evaluation
from mlp_jax.model.judged_rows import rows_and_targets
from mlp_jax.model.laplace import Laplace, check_kind, distribution
from mlp_jax.model.laplace_file import read_laplace
from mlp_jax.model.laplace_fit import fit_curvature
from mlp_jax.model.model_folder import load_model
from mlp_jax.model.rows import load_for
from mlp_jax.model.saved import Model

_INTERVAL = 1.959963984540054  # standard deviations on either side that hold 95 % of a normal


@dataclass(frozen=True, eq=False)
class LaplaceModel(Model):
    """A `Model` with a Laplace approximation: averaged predictions and their uncertainty.

    Probabilities, and the labels and metrics derived from them, are averaged over the weights;
    values of a regression and the "loss" stay those of the network.

    Attributes:
        laplace: the approximation.
    """

    laplace: Laplace = field(kw_only=True, repr=False)

    def uncertainty(self, rows: Any) -> np.ndarray:
        """Return the uncertainty of each row's prediction.

        Args:
            rows: rows of any kind that `Model` lists.

        Returns:
            (N,), or (N, C) for several outputs. For classes the entropy of the averaged
            probabilities, in nats from 0 to log C; for each of several labels the binary entropy;
            for a number the standard deviation of a new observation, weights and noise together, in
            the target's units.

        Raises:
            InputError: for rows that the model cannot encode.
        """
        return self.uncertainties(self.features(rows))

    def uncertainties(self, x: Shaped[np.ndarray, "N I"]) -> np.ndarray:
        """Return the `uncertainty` of encoded rows.

        Args:
            x: encoded rows, as `features` returns them.

        Returns:
            (N,), or (N, C) for several outputs.
        """
        _, predicted, variance = distribution(self, self.laplace, x)
        if self.target.task == "classification":
            return entropy(self.probabilities(predicted))
        if self.target.task == "multilabel":
            each = entropy(np.stack([predicted, 1 - predicted], axis=-1))
        else:
            each = self._deviations(variance)
        return each[:, 0] if each.shape[1] == 1 else each

    def evaluate(self, rows: Any, names: Sequence[str] = ()) -> Evaluation:
        """Evaluate as `Model.evaluate`; for a regression also the calibration of the uncertainty.

        Args:
            rows: rows with targets, as `Model.evaluate` takes them.
            names: metrics (default: all metrics of the task).

        Returns:
            The metrics. Without `names` a regression adds nll, the mean −log density of the targets
            in their units, and within_95, the share of targets in their 95 % interval.

        Raises:
            InputError: for rows or targets that do not fit the model.
            UnknownNameError: for a metric that the task does not have.
        """
        if isinstance(rows, str | os.PathLike):
            rows = load_for(self.inputs, self.target, os.fspath(rows))
        found = super().evaluate(rows, names)
        if self.target.task != "regression" or names:
            return found
        x, y = rows_and_targets(self.inputs, self.target, rows, self._dtype)
        linear, _, variance = distribution(self, self.laplace, x)
        deviation = self._deviations(variance)
        away = (y.reshape(linear.shape) - self._in_units(linear)) / deviation
        nll = 0.5 * away**2 + np.log(deviation) + 0.5 * math.log(2 * math.pi)
        within = np.abs(away) <= _INTERVAL
        found |= {"nll": float(np.mean(nll)), "within_95": float(np.mean(within))}
        return found

    def _outputs(self, x: np.ndarray) -> Outputs:
        linear, predicted, _ = distribution(self, self.laplace, x)
        return Outputs(linear, predicted)

    def _deviations(self, variance: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Return standard deviations of observations in the target's units, float64."""
        deviation = np.sqrt(variance.astype(np.float64) + self.laplace.facts.noise_variance)
        return deviation * np.array(self.target.scale) if self.target.scale else deviation


def entropy(p: Float[np.ndarray, "... C"]) -> np.ndarray:
    """Return −Σ p log p over the last axis, in nats."""
    p = p.astype(np.float64)
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


def fit_laplace(
    model: Model, rows: Any, kind: str = "last-layer", validation: Any = None
) -> LaplaceModel:
    """Fit a Laplace approximation to a model's training rows and targets.

    Args:
        model: a trained network with a likelihood loss, not an ensemble.
        rows: rows with targets as `Model.evaluate` takes them, but the training rows of a Table or
            a Dataset.
        kind: "last-layer", or "diagonal" for all weights.
        validation: rows that choose the prior precision and the noise (default: the marginal
            likelihood chooses them).

    Returns:
        The model with the approximation.

    Raises:
        InputError: for a model without such an approximation, or rows that do not fit it.
        UnknownNameError: for an unknown kind.
    """
    known = check_kind(kind)
    pair = _pair(model, rows)
    held_out = None if validation is None else _pair(model, validation)
    return with_laplace(model, fit_curvature(model, *pair, known, held_out))


def _pair(model: Model, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return encoded rows and their targets in the model's terms."""
    if isinstance(rows, str | os.PathLike):
        rows = load_for(model.inputs, model.target, os.fspath(rows))
    if isinstance(rows, Table | Dataset):
        rows = replace(rows, test=None)
    dtype = runnable_precision(model.precision).params
    return rows_and_targets(model.inputs, model.target, rows, dtype)


def with_laplace(model: Model, laplace: Laplace) -> LaplaceModel:
    """Return the model with this approximation."""
    parts = {part.name: getattr(model, part.name) for part in fields(Model)}
    return LaplaceModel(**parts, laplace=laplace)


def load_laplace(path: str | os.PathLike[str]) -> LaplaceModel:
    """Load a model with the approximation beside it. No code from the files is executed.

    Args:
        path: folder of a run, or the model/ folder in it.

    Returns:
        The model with the approximation.

    Raises:
        ModelFileError: for files that are missing, damaged, or of different weights.
    """
    model = load_model(path)
    return with_laplace(model, read_laplace(path, model))
