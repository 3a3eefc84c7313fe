"""Learning curves: loss and metrics by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.charts.figures import (
    FRAME,
    PALE,
    TRAIN,
    VALIDATION,
    PathLike,
    level_lines,
    log_if_wide,
    new_figure,
    row_of_axes,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_DOTS = 60


class Series(NamedTuple):
    """One curve: its label, its colour, and its points; a value that is not finite is a gap."""

    label: str
    color: str
    epochs: Sequence[float]
    values: Sequence[float]


def curves_by_name(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Series]]:
    """Group the curves of a training by what they measure, the loss first.

    Args:
        history: a record per epoch with `train_` and `validation_` before "loss" and the names of
            metrics; entries may be missing, None or NaN. `epoch` counts from 1 if it is missing.

    Returns:
        The curves of each name, training before validation, without those that have no value.
    """
    epochs = [record.get("epoch") or i for i, record in enumerate(history, start=1)]
    names = dict.fromkeys(
        key.removeprefix(prefix)
        for prefix in ("validation_", "train_")
        for record in history
        for key in record
        if key.startswith(prefix)
    )
    found: dict[str, list[Series]] = {}
    for name in sorted(names, key=lambda name: name != "loss"):
        for part, color in (("train", TRAIN), ("validation", VALIDATION)):
            values = [_number(record.get(f"{part}_{name}")) for record in history]
            if any(map(math.isfinite, values)):
                found.setdefault(name, []).append(Series(part, color, epochs, values))
    return found


def learning_curve(
    history: Sequence[Mapping[str, Any]], path: PathLike, *, best: int | None = None
) -> None:
    """Draw loss and first metric by epoch into a PNG file.

    Args:
        history: as for `curves_by_name`.
        path: file to write.
        best: epoch to mark, if it has a validation value.
    """
    panels = list(curves_by_name(history).items())[:2] or [("loss", [])]
    figure = new_figure(5.2 * len(panels), 3.9)
    for axes, (name, several) in zip(row_of_axes(figure, len(panels)), panels, strict=True):
        validated = any(one.label == "validation" for one in several)
        _draw(axes, name.replace("_", " "), several, best if validated else None)
        if name == "loss":
            log_if_wide(axes, _all_values(several))
    save(figure, path)


def curve_figure(
    name: str, several: Sequence[Series], best: int | None = None, *, may_be_log: bool = False
) -> "Figure":
    """Return a figure of some curves over epochs.

    Args:
        name: label of the y-axis.
        several: the curves.
        best: epoch to mark on the last curve.
        may_be_log: use a logarithmic axis for values that span several powers of ten.
    """
    figure = new_figure(5.2, 3.5)
    axes = figure.add_subplot()
    _draw(axes, name, several, best)
    if may_be_log:
        log_if_wide(axes, _all_values(several))
    return figure


def finish_curve(axes: "Axes", epochs: Sequence[float], label: str) -> None:
    """Add labels, integer epochs, grid and legend to a curve over epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if len(epochs):
        margin = max(0.03 * (epochs[-1] - epochs[0]), 0.5)
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    level_lines(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def _draw(axes: "Axes", label: str, several: Sequence[Series], best: int | None) -> None:
    for one in several:
        axes.plot(one.epochs, _finite(one.values), color=one.color, label=one.label)
        if len(one.epochs) <= _MOST_DOTS:
            words = [f"epoch {x:g}: {y:.4g}" for x, y in zip(one.epochs, one.values, strict=True)]
            axes.scatter(
                one.epochs, _finite(one.values), s=13, color=one.color, linewidths=0, urls=words,
                zorder=3,
            )  # fmt: skip
    if several:
        _mark_best(axes, several[-1], best)
    finish_curve(axes, several[0].epochs if several else (), label)


def _mark_best(axes: "Axes", one: Series, best: int | None) -> None:
    for epoch, value in zip(one.epochs, one.values, strict=True):
        if epoch == best and math.isfinite(value):
            label = f"best: epoch {best}, {value:.4g}"
            axes.axvline(epoch, color=PALE, linewidth=1, zorder=0)
            axes.plot(
                [epoch], [value], "o", markersize=8, color=FRAME, fillstyle="none", label=label,
                zorder=4,
            )  # fmt: skip


def _all_values(several: Sequence[Series]) -> np.ndarray:
    return np.array([value for one in several for value in one.values], np.float64)


def _finite(values: Sequence[float]) -> np.ndarray:
    """Return the values with NaN for infinity: a line that has a gap."""
    array = np.asarray(values, np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
