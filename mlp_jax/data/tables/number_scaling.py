"""Fit of a numeric column's scaling: standard, robust or by quantiles.

Letters: N rows.
"""

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from mlp_jax.data.encoding import NumericColumn
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.errors import InputError

_FAR = 5.2  # score of the quantiles 0 and 1, as in scikit-learn's QuantileTransformer


class TooSpreadError(InputError):
    """A numeric column whose spread float64 does not hold."""

    def __init__(self, name: str, low: float, high: float, row: int | None = None) -> None:
        self._name, self._low, self._high = name, low, high
        place = "" if row is None else f" (row {row})"
        super().__init__(
            f"Column '{name}', from {low:.6g} to {high:.6g}{place}, is too widely spread to be"
            " scaled: correct that value, or use --scaling quantile."
        )

    def with_row(self, values: np.ndarray) -> "TooSpreadError":
        """Return the error with the row of the farthest number among all values (N,)."""
        far = self._high if abs(self._high) >= abs(self._low) else self._low
        row = int(np.argmax(values == far))
        return TooSpreadError(self._name, self._low, self._high, row)


def fit_boolean(column: NumericColumn, values: np.ndarray, options: ColumnOptions) -> NumericColumn:
    """Encode a boolean column; values and options have no effect."""
    return boolean(column)


def boolean(column: NumericColumn) -> NumericColumn:
    """Encode booleans: −1 for false, 1 for true, 0 for missing (Holzmüller 2024, RealMLP)."""
    return replace(column, fill=0.5, center=0.5, scale=2.0)


def fit_numeric(column: NumericColumn, values: np.ndarray, options: ColumnOptions) -> NumericColumn:
    """Fit the scaling of the options to finite values (N,)."""
    fit = {"standard": _standard, "robust": _robust, "quantile": _quantile}[options.scaling]
    return fit(column, values)


def _standard(column: NumericColumn, values: np.ndarray) -> NumericColumn:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    return standard(column, mean, deviation, values.min(), values.max())


def standard(
    column: NumericColumn, mean: float, deviation: float, low: float, high: float
) -> NumericColumn:
    """Scale by mean and standard deviation (dividing by N, as scikit-learn's StandardScaler)."""
    scale = _inverse(column, low, high, deviation)
    return replace(column, fill=mean, scaling="standard", center=mean, scale=scale)


def _robust(column: NumericColumn, values: np.ndarray) -> NumericColumn:
    """Scale by median and interquartile range, or half the range if that is 0 (RealMLP)."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, center, high = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
        spread = high - low or float(values.max() / 2 - values.min() / 2)
        scale = _inverse(column, values.min(), values.max(), spread)
    return replace(column, fill=center, scaling="robust", center=center, scale=scale)


def _quantile(column: NumericColumn, values: np.ndarray) -> NumericColumn:
    """Fit normal scores at max(min(N/30, 1000), 10) quantiles (Gorishniy 2021).

    A knot shared by several quantiles has the score of their middle.
    """
    n_quantiles = max(min(len(values) // 30, 1000), 10)
    shares = np.linspace(0, 1, n_quantiles)
    knots, first, count = np.unique(
        np.quantile(values, shares), return_index=True, return_counts=True
    )
    middle = (shares[first] + shares[first + count - 1]) / 2
    inverse = NormalDist().inv_cdf
    scores = [
        max(-_FAR, min(_FAR, inverse(s))) if 0 < s < 1 else _FAR * (2 * s - 1) for s in middle
    ]
    fill = float(np.quantile(values, 0.5))
    return replace(
        column,
        fill=fill,
        scaling="quantile",
        knots=tuple(knots.tolist()),
        scores=tuple(float(score) for score in scores),
    )


def _inverse(column: NumericColumn, low: float, high: float, spread: float) -> float:
    """Return 1/spread, or 1 if that is not finite; InputError for a spread beyond float64."""
    if not np.isfinite(spread):
        raise TooSpreadError(column.name, low, high)
    return 1 / spread if spread > 0 and np.isfinite(1 / spread) else 1.0
