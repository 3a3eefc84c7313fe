"""Charts of predictions: confusion of classes, predicted against true values.

Letters: N examples, C classes or outputs.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from mlp_jax.charts.figures import (
    DASHED,
    INK,
    PALE,
    TRAIN,
    VALIDATION,
    PathLike,
    new_figure,
    plain_frame,
    save,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OUTPUTS = (TRAIN, VALIDATION, "#3f8f5b", "#8a5aa8", "#b8942a", "#a83b52")
_MOST_COUNTS = 20  # classes up to which a confusion matrix shows its counts
_MOST_NAMES = 100  # names on an axis
_MOST_POINTS = 2000  # points in a scatter plot
_SQUARE = np.array([(-0.47, -0.47), (0.47, -0.47), (0.47, 0.47), (-0.47, 0.47)])  # of a cell
_DARK = 0.4  # share of a row from which a cell's count is white


def confusion_counts(
    labels: Int[np.ndarray, " N"], predicted: Int[np.ndarray, " N"], n: int
) -> Int[np.ndarray, "C C"]:
    """Count how often each of n classes (row) is predicted as each class (column)."""
    flat = np.asarray(labels, np.int64) * n + np.asarray(predicted, np.int64)
    return np.bincount(flat, minlength=n * n).reshape(n, n)


def confusion_matrix(
    labels: Int[np.ndarray, " N"],
    predicted: Int[np.ndarray, " N"],
    classes: Sequence[str],
    path: PathLike,
) -> None:
    """Draw a confusion matrix with its accuracy into a PNG file.

    Args:
        labels, predicted: classes as numbers from 0 to C-1.
        classes: names of the classes.
        path: file to write.
    """
    counts = confusion_counts(labels, predicted, len(classes))
    figure = confusion_figure(counts, classes)
    right, total = int(np.trace(counts)), int(counts.sum())
    share = f"{right:,} of {total:,} correct ({right / max(total, 1):.1%})"
    figure.axes[0].set_title(f"{share}\ncolour: share of the true class")
    save(figure, path)


def confusion_figure(counts: Int[np.ndarray, "C C"], classes: Sequence[str]) -> "Figure":
    """Return a figure of how often each class (row) is predicted as each class (column).

    Correct predictions are blue, confusions orange, the more opaque the larger their share of the
    row; the square root makes rare confusions visible. Counts are written up to 20 classes.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba_array

    n = len(classes)
    side = max(1.5 + 0.38 * n, 4.2) if n <= _MOST_COUNTS else 2.0 + 0.125 * n
    figure = new_figure(min(side, 14.5), min(side, 14.5))
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows, columns = counts.nonzero()
    found = shares[rows, columns]
    squares = PolyCollection(
        np.stack([columns, rows], axis=1)[:, None] + _SQUARE,
        facecolors=to_rgba_array(
            np.where(rows == columns, TRAIN, VALIDATION), np.maximum(0.12, np.sqrt(found)).round(2)
        ),
        linewidths=0,
        urls=[
            f"{classes[row]} predicted as {classes[column]}: {count:,} ({share:.1%})"
            for row, column, count, share in zip(
                rows.tolist(), columns.tolist(), counts[rows, columns], found, strict=True
            )
        ],
    )
    axes.add_collection(squares)
    if n <= _MOST_COUNTS:
        _write_counts(axes, counts, shares)
    _name_classes(axes, classes)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def regression_scatter(
    targets: Float[np.ndarray, "N ..."], predictions: Float[np.ndarray, "N ..."], path: PathLike
) -> None:
    """Draw predictions (N, C) over true values (N, C) into a PNG file; (N,) is read as (N, 1)."""
    y, s = (np.asarray(values, np.float64) for values in (targets, predictions))
    y, s = (values[:, None] if values.ndim == 1 else values for values in (y, s))
    figure = scatter_figure(y, s)
    figure.axes[0].set_title(f"Predicted and true values, {len(y):,} examples")
    save(figure, path)


def scatter_figure(y: Float[np.ndarray, "N C"], s: Float[np.ndarray, "N C"]) -> "Figure":
    """Return a figure of predictions s over true values y with the diagonal.

    At most 2000 evenly spaced examples are drawn, each output in its colour.
    """
    from matplotlib.colors import to_rgba

    finite = (np.isfinite(y) & np.isfinite(s)).all(axis=1)
    y, s = y[finite], s[finite]
    total, outputs = y.shape
    rows = np.unique(np.linspace(0, max(total - 1, 0), min(total, _MOST_POINTS)).astype(int))
    y, s = y[rows], s[rows]
    figure = new_figure(5.2, 5.2)
    axes = figure.add_subplot()
    low, high = _limits(np.concatenate([y.ravel(), s.ravel()]))
    axes.plot([low, high], [low, high], color=INK, linewidth=1.2, linestyle=DASHED, zorder=3)
    alpha = float(np.clip(30 / math.sqrt(max(y.size, 1)), 0.25, 0.8))
    for c in range(outputs):
        color = to_rgba(_OUTPUTS[c % len(_OUTPUTS)], alpha)
        axes.plot(
            y[:, c], s[:, c], "o", markersize=4, color=color, markeredgewidth=0,
            label=f"output {c}",
        )  # fmt: skip
    if 1 < outputs <= len(_OUTPUTS):
        axes.legend(frameon=False, markerscale=2)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="true", ylabel="predicted")
    if len(rows) < total:
        axes.set_xlabel(f"true ({len(rows):,} of {total:,} examples)")
    plain_frame(axes)
    return figure


def _write_counts(axes: "Axes", counts: np.ndarray, shares: np.ndarray) -> None:
    longest = len(str(counts.max()))
    size = float(np.clip(40 / max(longest, 3), 6, 9.5)) if len(counts) > 4 else 11
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > _DARK else INK
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def _name_classes(axes: "Axes", classes: Sequence[str]) -> None:
    n = len(classes)
    ticks = range(0, n, -(-n // _MOST_NAMES))
    names = [shortened(classes[tick]) for tick in ticks]
    few = n <= _MOST_COUNTS
    size = 9.5 if few else 6.5
    slanted = max(map(len, names), default=0) > 3 or not few
    axes.set_yticks(ticks, names, fontsize=size, parse_math=False)
    axes.set_xticks(
        ticks,
        names,
        fontsize=size,
        parse_math=False,
        rotation=(45 if few else 90) if slanted else 0,
        ha="right" if slanted else "center",
        va="top" if few else "center",
        rotation_mode="anchor",
    )
    axes.tick_params(length=0)
    axes.spines[:].set_color(PALE)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return a non-empty interval around all values, 4 % wider on each side."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin
