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
from mlp_jax.model.judged_rows import rows_and_targets
from mlp_jax.model.laplace import Laplace, check_kind, distribution
from mlp_jax.model.laplace_file import read_laplace
from mlp_jax.model.laplace_fit import fit_curvature
from mlp_jax.model.rows import load_for
from mlp_jax.model.saved import Model, load_model

_INTERVAL = 1.959963984540054  # standard deviations on either side that hold 95 % of a normal


@dataclass(frozen=True, eq=False)
class LaplaceModel(Model):
    """A `Model` that predicts with the mean over likely weights, and says how uncertain it is.

    Probabilities are averaged, and with them the labels, the log loss and whatever else is judged
    by them; the values of a regression stay as they are. The "loss" stays that of the network.
    """

    laplace: Laplace = field(kw_only=True, repr=False)

    def uncertainty(self, rows: Any) -> np.ndarray:
        """How uncertain each row's prediction is, (N,), or (N, C) for several outputs.

        Of classes the entropy of their averaged probabilities (nats: 0 where certain, log C where
        nothing is known), of each of several labels that of yes and no; of a number the standard
        deviation of a new observation, weights and noise together, in the target's own units.
        """
        return self.uncertainties(self.features(rows))

    def uncertainties(self, x: Shaped[np.ndarray, "N I"]) -> np.ndarray:
        """`uncertainty` of encoded rows x."""
        _, predicted, variance = distribution(self, self.laplace, x)
        if self.target.task == "classification":
            return entropy(self.probabilities(predicted))
        if self.target.task == "multilabel":
            each = entropy(np.stack([predicted, 1 - predicted], axis=-1))
        else:
            each = self._deviations(variance)
        return each[:, 0] if each.shape[1] == 1 else each

    def evaluate(self, rows: Any, names: Sequence[str] = ()) -> dict[str, float]:
        """As `Model.evaluate`; of a regression also how well the uncertainty fits.

        nll: the mean −log density of the targets, in their own units; within_95: the share of them
        in the interval that should hold 95 %.
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
        return {**found, "nll": float(np.mean(nll)), "within_95": float(np.mean(within))}

    def _outputs(self, x: np.ndarray) -> Outputs:
        linear, predicted, _ = distribution(self, self.laplace, x)
        return Outputs(linear, predicted)

    def _deviations(self, variance: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
        """Standard deviations of observations in the target's own units, float64."""
        deviation = np.sqrt(variance.astype(np.float64) + self.laplace.facts.noise_variance)
        return deviation * np.array(self.target.scale) if self.target.scale else deviation


def entropy(p: Float[np.ndarray, "... C"]) -> np.ndarray:
    """−Σ p log p over the last axis, in nats."""
    p = p.astype(np.float64)
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


def fit_laplace(
    model: Model, rows: Any, kind: str = "last-layer", validation: Any = None
) -> LaplaceModel:
    """The model with a Laplace approximation fitted to its training rows and their targets.

    rows as `Model.evaluate` takes them, but of a Table or a Dataset the training rows. kind:
    "last-layer", or "diagonal" over all weights. validation: rows that choose the prior precision
    and the noise; without them the evidence does. InputError for an ensemble and for a loss that is
    no likelihood.
    """
    known = check_kind(kind)
    pair = _pair(model, rows)
    held_out = None if validation is None else _pair(model, validation)
    return with_laplace(model, fit_curvature(model, *pair, known, held_out))


def _pair(model: Model, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Encoded rows and their targets in the model's terms."""
    if isinstance(rows, str | os.PathLike):
        rows = load_for(model.inputs, model.target, os.fspath(rows))
    if isinstance(rows, Table | Dataset):
        rows = replace(rows, test=None)
    dtype = runnable_precision(model.precision).params
    return rows_and_targets(model.inputs, model.target, rows, dtype)


def with_laplace(model: Model, laplace: Laplace) -> LaplaceModel:
    """The model with this approximation."""
    parts = {part.name: getattr(model, part.name) for part in fields(Model)}
    return LaplaceModel(**parts, laplace=laplace)


def load_laplace(path: str | os.PathLike[str]) -> LaplaceModel:
    """The model of a run with the approximation beside it. Runs no code from the files.

    ModelFileError, in one sentence, where either is missing, damaged, or of other weights.
    """
    model = load_model(path)
    return with_laplace(model, read_laplace(path, model))
