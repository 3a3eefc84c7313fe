"""Standardization of features as one multiplication and one addition.

Letters: N rows, I features.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from numpy.typing import DTypeLike

from mlp_jax.data.encoding import SCALED_LIMIT
from mlp_jax.errors import InputError

FAR_TARGET = 1e15  # deviations from the mean; larger squares overflow float32
_CHUNK = 1 << 20  # values in float64 at a time


class Scaling(NamedTuple):
    """x_scaled = x · scale + offset.

    Attributes:
        scale: () for pixels or (I,) for columns.
        offset: of the same shape.
    """

    scale: Float64[np.ndarray, "*shape"]
    offset: Float64[np.ndarray, "*shape"]


def fit_scaling(
    x: Shaped[np.ndarray, "N I"], *, pixels: bool = False, rows: np.ndarray | None = None
) -> Scaling:
    """Fit the scaling that gives rows mean 0 and standard deviation 1 (dividing by N).

    Args:
        x: training rows. uint8 gets one scale and offset for all columns, other x one per column.
            Constants get scale 1.
        pixels: treat float x as pixels too.
        rows: numbers of the rows (N,) in messages (default: their index).

    Returns:
        The scaling.

    Raises:
        InputError: for a column too widely spread for float64, with the farthest number and its
            row.
    """
    if x.dtype == np.uint8:
        return _fit_histogram(x)
    return _fit_columns(x, pixels, np.arange(len(x)) if rows is None else rows)


def scaling_of_range(low: float, high: float) -> Scaling:
    """Return the scaling that maps [low, high] to [−1, 1].

    Args:
        low: lower end.
        high: upper end.

    Returns:
        The scaling.

    Raises:
        InputError: unless low < high, both finite.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(
            f"An input range must go from a lower to a higher number, not from {low} to {high}."
        )
    scale = 2 / (high - low)
    return Scaling(np.asarray(scale), np.asarray(-1 - low * scale))


def apply(
    scaling: Scaling, x: Shaped[np.ndarray, "N I"], dtype: DTypeLike
) -> Float[np.ndarray, "N I"]:
    """Apply a scaling in float64 and clip to ±SCALED_LIMIT.

    Args:
        scaling: the scaling.
        x: rows.
        dtype: dtype of the result.

    Returns:
        x · scale + offset.
    """
    if x.dtype == np.uint8 and scaling.scale.ndim == 0:
        return (np.arange(256) * scaling.scale + scaling.offset).astype(dtype)[x]
    scaled = np.empty(x.shape, dtype)
    with np.errstate(over="ignore"):  # infinite for x far outside the training rows
        for rows in _chunks(x):
            values = x[rows] * scaling.scale + scaling.offset
            scaled[rows] = np.clip(values, -SCALED_LIMIT, SCALED_LIMIT, out=values)
    return scaled


def standardized(
    scaling: Scaling, y: Shaped[np.ndarray, "N C"], dtype: DTypeLike
) -> Float[np.ndarray, "N C"]:
    """Return targets y · scale + offset in dtype; InputError for one that dtype cannot hold."""
    with np.errstate(over="ignore"):
        scaled = y * scaling.scale + scaling.offset
    return narrowed(scaled, dtype, y, "A target of")


def check_targets_near(
    y: np.ndarray,
    scale: Sequence[float],
    offset: Sequence[float],
    rows: np.ndarray,
    names: Sequence[str] = (),
) -> None:
    """Raise InputError for the first target y (N,) or (N, C) too far out for evaluation in float32.

    scale, offset: of its standardization, empty if there is none. rows: number of each row in
    messages; a row that is NaN has no target. names: of the outputs.
    """
    columns = y.reshape(len(y), -1)
    with np.errstate(over="ignore"):
        s = np.abs(columns - np.asarray(offset or 0.0)) / np.asarray(scale or 1.0)
    far = s > FAR_TARGET
    if not far.any():
        return
    row, output = (int(i) for i in np.unravel_index(int(np.argmax(far)), far.shape))
    name = f" '{names[output]}'" if names else ""
    raise InputError(
        f"Target{name} has {columns[row, output]:.6g} in row {rows[row]}, too far from the training"
        " targets to be evaluated: correct it, or leave its row out."
    )


def check_targets_small(
    scale: Sequence[float], offset: Sequence[float], names: Sequence[str] = ()
) -> None:
    """Raise InputError for unscaled targets too large to train on, by deviations and means."""
    for output, (spread, mean) in enumerate(zip(scale, offset, strict=True)):
        if abs(mean) + spread > FAR_TARGET:
            name = f" '{names[output]}'" if names else ""
            raise InputError(
                f"Target{name} holds numbers like {mean:.3g}, too far from 0 for a loss that does"
                " not standardize them: rescale it."
            )


def narrowed(
    values: Float[np.ndarray, "*shape"], dtype: DTypeLike, shown: np.ndarray, what: str
) -> Float[np.ndarray, "*shape"]:
    """Cast values to dtype; InputError for a finite one that overflows, reported as in `shown`."""
    with np.errstate(over="ignore"):
        found = values.astype(dtype, copy=False)
    lost = np.isinf(found) & np.isfinite(shown)
    if lost.any():
        raise InputError(
            f"{what} {shown[np.unravel_index(np.argmax(lost), lost.shape)]:.6g} is too large for"
            f" {np.dtype(dtype)}: rescale it, or leave its row out."
        )
    return found


def unscaled(scaling: Scaling, x: Float[np.ndarray, "N I"]) -> Float64[np.ndarray, "N I"]:
    """Invert a scaling.

    Args:
        scaling: the scaling.
        x: scaled rows.

    Returns:
        (x − offset)/scale in float64.
    """
    return (x.astype(np.float64) - scaling.offset) / scaling.scale


def _fit_histogram(x: np.ndarray) -> Scaling:
    counts = sum(np.bincount(x[rows].ravel(), minlength=256) for rows in _chunks(x))
    return scaling_of_counts(np.asarray(counts))


def scaling_of_counts(counts: Int64[np.ndarray, "256"]) -> Scaling:
    """Return the exact scaling of pixels from the number of pixels of each value."""
    size = int(counts.sum())
    values = [(value, int(n)) for value, n in enumerate(counts)]
    total = sum(value * n for value, n in values)
    squares = sum(value**2 * n for value, n in values)
    # Whole numbers of any size: N² times the variance is exact.
    spread = size * squares - total**2
    mean, deviation = total / size, spread**0.5 / size
    return scaling_of(np.asarray(mean), np.asarray(deviation), np.asarray(spread == 0))


def _fit_columns(x: np.ndarray, one: bool, numbers: np.ndarray) -> Scaling:
    whole = x
    x = x.reshape(-1, 1) if one else x
    with np.errstate(over="ignore", invalid="ignore"):
        mean = x.mean(axis=0, dtype=np.float64)
        squares = np.zeros(x.shape[1])
        for rows in _chunks(x):
            squares += np.square(x[rows] - mean).sum(axis=0)
        deviation = np.sqrt(squares / len(x))
    low, high = x.min(axis=0), x.max(axis=0)
    if (far := farthest(deviation, low, high)) is not None:
        refuse_far(whole, far, None if one else int(np.argmin(np.isfinite(deviation))), numbers)
    scaling = scaling_of(mean, deviation, low == high)
    if one:
        return Scaling(scaling.scale.reshape(()), scaling.offset.reshape(()))
    return scaling


def farthest(deviation: np.ndarray, low: np.ndarray, high: np.ndarray) -> float | None:
    """Return the extreme number of the first column with an infinite deviation, or None."""
    if np.isfinite(deviation).all():
        return None
    column = int(np.argmin(np.isfinite(deviation)))
    return float(max(low[column], high[column], key=abs))


def refuse_far(
    x: Shaped[np.ndarray, "N I"],
    far: float,
    column: int | None,
    rows: np.ndarray,
    letter: str = "x",
) -> None:
    """Raise InputError if rows x contain the number `far`, which is too far out to be standardized.

    column: its column, None for any. rows: numbers of the rows (N,) in messages. letter: name of x.
    """
    found = x == far
    if column is not None:
        found &= np.arange(x.shape[1]) == column
    if found.any():
        row, place = (int(i) for i in np.unravel_index(int(np.argmax(found)), found.shape))
        of_several = f", column {place}" if x.shape[1] > 1 else ""
        raise InputError(
            f"Row {rows[row]}{of_several} of {letter} is {far:.6g}, too widely spread from the"
            " others to be standardized: correct it, or leave its row out."
        )


def scaling_of(mean: np.ndarray, deviation: np.ndarray, is_constant: np.ndarray) -> Scaling:
    """Return the scaling of a mean and a deviation; scale 1 for constants."""
    scale = 1 / np.where(is_constant | (deviation == 0), 1.0, deviation)
    return Scaling(np.asarray(scale), np.asarray(-mean * scale))


def _chunks(x: np.ndarray) -> Iterator[slice]:
    step = max(1, _CHUNK // x.shape[1])
    return (slice(start, start + step) for start in range(0, len(x), step))
