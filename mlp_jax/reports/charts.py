"""Charts that only a report shows: reliability, residuals, bars, flow of the gradients.

Letters: B bins.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.charts.figures import (
    DASHED,
    FRAME,
    INK,
    TRAIN,
    VALIDATION,
    add_tooltips,
    level_lines,
    log_axis,
    new_figure,
    plain_frame,
    shortened,
)
from mlp_jax.reports.calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 0.06  # of a bar's width
_LONGEST_NAME = 34
_MOST_LAYERS = 16  # numbers on the axis of layers


def reliability_figure(found: Reliability, what: str) -> "Figure":
    """Return a figure of accuracy over confidence, with the number of predictions below."""
    from matplotlib.ticker import PercentFormatter

    n = len(found.counts)
    figure = new_figure(4.6, 4.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    known = np.flatnonzero(found.counts)
    lefts, share, mean = known / n, found.right[known], found.confidence[known]
    words = [
        f"confidence {place / n:.0%} to {(place + 1) / n:.0%}: {found.counts[place]:,} "
        f"predictions, {right:.1%} right, mean confidence {sure:.1%}"
        for place, right, sure in zip(known, share, mean, strict=True)
    ]
    low, high = np.minimum(share, mean), np.maximum(share, mean)
    _bars(above, lefts, low, 1 / n, words, color=TRAIN)
    for kind, color, alpha in ((mean > share, VALIDATION, 0.6), (mean <= share, TRAIN, 0.4)):
        chosen = [word for word, here in zip(words, kind, strict=True) if here]
        _bars(
            above, lefts[kind], (high - low)[kind], 1 / n, chosen, bottom=low[kind], color=color,
            alpha=alpha,
        )  # fmt: skip
    above.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=DASHED)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    for axis in (above.xaxis, above.yaxis):
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
        axis.set_major_formatter(PercentFormatter(1.0))
    _bars(below, lefts, found.counts[known], 1 / n, words, color=FRAME, alpha=0.45)
    below.set(xlabel=f"confidence in {what}", ylabel="rows")
    tallest = max(int(found.counts.max()), 1)
    below.set_yticks([0, tallest], ["0", f"{tallest:,}"])
    level_lines(above)
    plain_frame(below)
    return figure


def residual_figure(residuals: np.ndarray) -> "Figure":
    """Return a histogram of the residuals, predicted − true, with outliers in the last bins."""
    finite = residuals[np.isfinite(residuals)]
    limit = float(np.quantile(np.abs(finite), 0.995)) if finite.size else 1.0
    limit = limit or 1.0
    counts, edges = np.histogram(np.clip(finite, -limit, limit), bins=31, range=(-limit, limit))
    words = [
        f"{left:.4g} to {right:.4g}: {count:,} rows"
        for count, left, right in zip(counts, edges, edges[1:], strict=False)
    ]
    figure = new_figure(5.2, 5.2)
    axes = figure.add_subplot()
    _bars(axes, edges[:-1], counts, 2 * limit / 31, words, color=TRAIN)
    axes.axvline(0, color=INK, linewidth=1.2, linestyle=DASHED)
    axes.set(xlabel="predicted − true", ylabel="rows", xlim=(-limit, limit))
    level_lines(axes)
    return figure


def bar_figure(bars: Sequence[tuple[str, float]], unit: str) -> "Figure":
    """Return a figure of horizontal bars with their names and values, the first on top."""
    figure = new_figure(6.4, 0.25 * len(bars) + 0.7)
    axes = figure.add_subplot()
    values = [value for _, value in bars]
    drawn = axes.barh(range(len(bars)), values, height=0.7, color=TRAIN)
    add_tooltips(drawn, [f"{name}: {value:.4g}" for name, value in bars])
    axes.bar_label(drawn, fmt="%.3g", padding=4, fontsize=9)
    names = [shortened(name, _LONGEST_NAME) for name, _ in bars]
    axes.set_yticks(range(len(bars)), names, fontsize=9, parse_math=False)
    axes.set(ylim=(len(bars) - 0.5, -0.5), xlim=(0, 1.12 * max([*values, 0.0]) or 1.0))
    axes.set(xticks=[], xlabel=unit)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def flow_figure(layers: Sequence[tuple[str, float, float]]) -> "Figure":
    """Return a figure of ‖∇z‖ and ‖∇W‖ of every layer, logarithmic, with the input on the left."""
    figure = new_figure(6.0, 3.6)
    axes = figure.add_subplot()
    for column, color, symbol, label in (
        (1, TRAIN, "‖∇z‖", "‖∇z‖, root mean square over rows"),
        (2, VALIDATION, "‖∇W‖", "‖∇W‖ of the mean loss"),
    ):
        norms: list[Any] = [layer[column] for layer in layers]
        known = [(i, v) for i, v in enumerate(norms) if v > 0 and math.isfinite(v)]
        places, values = zip(*known, strict=True) if known else ((), ())
        axes.plot(places, values, color=color, label=label)
        words = [f"{layers[i][0]}: {symbol} {v:.3g}" for i, v in known]
        axes.scatter(places, values, s=30, color=color, linewidths=0, urls=words, zorder=3)
    if len(axes.dataLim.get_points()) and np.isfinite(axes.dataLim.get_points()).all():
        low, high = np.log10(axes.dataLim.intervaly)
        axes.set_ylim(10 ** math.floor(low - 0.05), 10 ** math.ceil(high + 0.05))
        log_axis(axes)
    names = [name.partition(" ")[0] for name, _, _ in layers]
    every = -(-len(layers) // _MOST_LAYERS)
    axes.set_xticks(range(0, len(layers), every), names[::every], parse_math=False)
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylabel="norm")
    axes.set_xlabel("layer, from the input to the loss")
    axes.legend(frameon=False, fontsize=9)
    level_lines(axes)
    return figure


def _bars(
    axes: "Axes",
    lefts: np.ndarray,
    heights: np.ndarray,
    width: float,
    words: Sequence[str],
    **look: Any,
) -> None:
    """Draw bars between edges, a little apart, with tooltips."""
    drawn = axes.bar(lefts + _GAP / 2 * width, heights, (1 - _GAP) * width, align="edge", **look)
    add_tooltips(drawn, words)
