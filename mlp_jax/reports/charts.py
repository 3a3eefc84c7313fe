"""Charts of a report: curves, reliability, confusion, scatter, bars. Pure functions to SVG.

Letters: N rows, C classes or outputs, B bins.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.reports import svg
from mlp_jax.reports.calibration import Reliability
from mlp_jax.reports.html import Markup, joined, tag
from mlp_jax.reports.listing import short, shortened

_LOG_RANGE = 30.0  # max / min from which an axis is logarithmic
_MOST_DOTS = 60
_MOST_POINTS = 2000
_EDGE = 1e-300


class Series(NamedTuple):
    """One curve: its label, its class in the style sheet, its points."""

    label: str
    class_: str
    xs: Sequence[float]
    ys: Sequence[float]


def curve_chart(
    title: str, name: str, series: Sequence[Series], best: int | None, *, may_be_log: bool
) -> Markup:
    """Draw curves over epochs with labels at their ends; a ring marks the best epoch."""
    values = np.array([y for one in series for y in one.ys], np.float64)
    epochs = [x for one in series for x in one.xs]
    low, high = svg.padded(values)
    finite = values[np.isfinite(values)]
    wide = finite.size and finite.min() > 0 and finite.max() / finite.min() >= _LOG_RANGE
    logarithmic = bool(may_be_log and wide)
    if logarithmic:
        low, high = float(finite.min()) / 1.2, float(finite.max()) * 1.2
    first, last = min(epochs), max(epochs)
    x = svg.Axis(first, last if last > first else first + 1, 52, 388)
    y = svg.Axis(low, high, 242, 34, logarithmic)
    chart = svg.Chart(x, y, 480, 285)
    ticks = [tick for tick in x.ticks(6) if tick == int(tick)]
    parts = [chart.frame("epoch", name, x_ticks=ticks if last > first else [first])]
    for one in series:
        parts.append(chart.line(one.xs, one.ys, one.class_))
        parts.extend(_dots(chart, one))
    for epoch, value in zip(series[-1].xs, series[-1].ys, strict=True):
        if epoch == best and math.isfinite(value):
            parts.append(svg.circle(x(epoch), y(value), 6.5, "ring", f"best: epoch {best}"))
    parts.extend(_end_labels(chart, series))
    return chart.svg(title, *parts)


def _dots(chart: svg.Chart, one: Series) -> list[Markup]:
    if len(one.xs) > _MOST_DOTS:
        return []
    return [
        svg.circle(chart.x(x), chart.y(y), 2.6, f"dot {one.class_}", f"epoch {x:g}: {short(y)}")
        for x, y in zip(one.xs, one.ys, strict=True)
        if math.isfinite(y)
    ]


def _end_labels(chart: svg.Chart, series: Sequence[Series]) -> list[Markup]:
    ends = []
    for one in series:
        known = [y for y in one.ys if math.isfinite(y)]
        if known:
            ends.append((one, chart.y(known[-1])))
    places = svg.spread_apart([place for _, place in ends])
    return [
        svg.text(chart.x.end + 8, place + 4, one.label, f"label {one.class_}", anchor="start")
        for (one, _), place in zip(ends, places, strict=True)
    ]


def reliability_chart(found: Reliability, what: str) -> Markup:
    """Draw accuracy over confidence, against the diagonal, with the number of predictions below."""
    n = len(found.counts)
    x, y = svg.Axis(0, 1, 52, 388), svg.Axis(0, 1, 290, 34)
    chart = svg.Chart(x, y, 420, 420)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    parts = [chart.frame("", "accuracy", x_ticks=ticks, y_ticks=ticks,
                         write_x=_percent, write_y=_percent)]  # fmt: skip
    base, room = 376.0, 56.0
    tallest = max(int(found.counts.max()), 1)
    width = (x.end - x.start) / n
    for place, count in enumerate(found.counts):
        left = x(place / n)
        words = f"confidence {place / n:.0%} to {(place + 1) / n:.0%}: {count:,} predictions"
        tall = max(room * count / tallest, 1.0 if count else 0.0)
        parts.append(svg.bar(left + 1, base - tall, width - 2, tall, "pale", words))
        if not count:
            continue
        share, mean = float(found.right[place]), float(found.confidence[place])
        words += f", {share:.1%} right, mean confidence {mean:.1%}"
        sure, high = y(min(share, mean)), y(max(share, mean))
        parts.append(svg.bar(left + 1, sure, width - 2, y(0) - sure, "fill", words))
        kind = "over" if mean > share else "under"
        parts.append(svg.bar(left + 1, high, width - 2, sure - high, kind, words))
    parts.append(chart.line([0, 1], [0, 1], "ideal"))
    parts.append(svg.text(x.start - 7, base - room + 10, f"{tallest:,}", "tick", anchor="end"))
    parts.append(svg.text((x.start + x.end) / 2, 398, f"confidence in {what}", "name"))
    title = f"Reliability diagram; expected calibration error {found.ece:.1%}"
    return chart.svg(title, *parts)


def scatter_chart(true: np.ndarray, predicted: np.ndarray, name: str) -> Markup:
    """Draw predicted over true values with their diagonal; at most 2000 points, evenly chosen."""
    rows = _some(len(true))
    low, high = svg.padded(np.concatenate([true, predicted]), 0.04)
    x, y = svg.Axis(low, high, 60, 400), svg.Axis(low, high, 374, 34)
    chart = svg.Chart(x, y, 420, 418)
    ticks = y.ticks(5)
    parts = [chart.frame("true", "predicted", x_ticks=ticks, y_ticks=ticks)]
    parts.append(chart.line([low, high], [low, high], "ideal"))
    parts.extend(
        svg.circle(x(float(true[row])), y(float(predicted[row])), 2.4, "point")
        for row in rows
        if math.isfinite(predicted[row])
    )
    return chart.svg(f"Predicted against true values of {name}", *parts)


def residual_chart(residuals: np.ndarray, name: str) -> Markup:
    """Draw a histogram of the residuals, predicted − true."""
    finite = residuals[np.isfinite(residuals)]
    limit = float(np.quantile(np.abs(finite), 0.995)) if finite.size else 1.0
    limit = limit or 1.0
    heights, steps = np.histogram(np.clip(finite, -limit, limit), bins=31, range=(-limit, limit))
    counts, edges = heights.tolist(), steps.tolist()
    x, y = svg.Axis(-limit, limit, 60, 400), svg.Axis(0, max(*counts, 1) * 1.05, 374, 34)
    chart = svg.Chart(x, y, 420, 418)
    parts = [chart.frame("predicted − true", "rows")]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        words = f"{left:.4g} to {right:.4g}: {count:,} rows"
        wide = x(right) - x(left) - 1.5
        parts.append(svg.bar(x(left) + 0.75, y(count), wide, y(0) - y(count), "fill", words))
    parts.append(chart.line([0, 0], [0, y.high], "ideal"))
    return chart.svg(f"Residuals of {name}", *parts)


def bar_chart(title: str, bars: Sequence[tuple[str, float]], unit: str) -> Markup:
    """Draw horizontal bars with their names and values."""
    longest = max((len(shortened(name, 34)) for name, _ in bars), default=0)
    start = 16 + 6.6 * longest
    top = max((value for _, value in bars), default=0.0) or 1.0
    x = svg.Axis(0, top, start, max(start + 150, 440))
    parts = []
    for place, (name, value) in enumerate(bars):
        at = 8 + 22 * place
        parts.append(svg.text(start - 8, at + 13, shortened(name, 34), "tick", anchor="end"))
        parts.append(svg.bar(start, at + 2, x(value) - start, 15, "fill", f"{name}: {value:.4g}"))
        parts.append(svg.text(x(value) + 6, at + 13, f"{value:.3g}", "tick", anchor="start"))
    parts.append(svg.text(start, 8 + 22 * len(bars) + 14, unit, "name", anchor="start"))
    y = svg.Axis(0, 1, 1, 0)
    chart = svg.Chart(x, y, x.end + 60, 8 + 22 * len(bars) + 24)
    return chart.svg(title, *parts)


def flow_chart(layers: Sequence[tuple[str, float, float]]) -> Markup:
    """Draw ‖∇z‖ and ‖∇W‖ of every layer on one logarithmic axis, input on the left."""
    values = np.array([v for _, z, w in layers for v in (z, w) if v > _EDGE and math.isfinite(v)])
    if not values.size:
        values = np.array([1.0])
    low = 10.0 ** math.floor(math.log10(values.min()) - 0.05)
    high = 10.0 ** math.ceil(math.log10(values.max()) + 0.05)
    x = svg.Axis(-0.5, len(layers) - 0.5, 60, 460)
    y = svg.Axis(low, high, 232, 34, True)
    chart = svg.Chart(x, y, 480, 280)
    places = list(range(len(layers)))
    names = [name.partition(" ")[0] for name, _, _ in layers]
    every = -(-len(places) // 16)
    parts = [
        chart.frame("layer, from the input to the loss", "norm", x_ticks=places[::every],
                    write_x=lambda place: names[int(place)])
    ]  # fmt: skip
    kinds = (
        ("train", "‖∇z‖", [z for _, z, _ in layers]),
        ("validation", "‖∇W‖", [w for _, _, w in layers]),
    )
    for class_, label, norms in kinds:
        known = [(place, v) for place, v in enumerate(norms) if low <= v <= high]
        parts.append(chart.line([p for p, _ in known], [v for _, v in known], class_))
        for place, value in known:
            words = f"{layers[place][0]}: {label} {value:.3g}"
            parts.append(svg.circle(x(place), y(value), 4.5, f"dot {class_}", words))
    return chart.svg("Norms of the gradients by layer", *parts)


def heat_map(shares: np.ndarray, counts: np.ndarray, names: Sequence[str]) -> Markup:
    """Draw a confusion matrix of many classes: a square per pair, dark for a large share."""
    n = len(names)
    side = 12.0 if n > 40 else 16.0
    left = 14 + 5.6 * max(len(shortened(name, 22)) for name in names)
    top = left
    parts = []
    for place, name in enumerate(names):
        middle = side * (place + 0.5) + 3.5
        parts.append(svg.text(left - 6, top + middle, shortened(name, 22), "small", anchor="end"))
        parts.append(
            tag(
                "text",
                shortened(name, 22),
                class_="small",
                transform=f"translate({svg.px(left + middle)} {svg.px(top - 6)}) rotate(-90)",
            )
        )
    for row, column in zip(*np.nonzero(counts), strict=True):
        words = f"{names[row]} predicted as {names[column]}: {counts[row, column]:,}"
        parts.append(
            tag(
                "rect",
                tag("title", words),
                x=svg.px(left + side * column + 0.5),
                y=svg.px(top + side * row + 0.5),
                width=svg.px(side - 1),
                height=svg.px(side - 1),
                class_="right" if row == column else "wrong",
                fill_opacity=f"{max(0.12, math.sqrt(shares[row, column])):.2f}",
            )
        )
    size = side * n
    parts.append(
        tag("rect", x=svg.px(left), y=svg.px(top), width=svg.px(size), height=svg.px(size),
            class_="outline")
    )  # fmt: skip
    return tag(
        "svg",
        joined(parts),
        viewBox=f"0 0 {svg.px(left + size + 8)} {svg.px(top + size + 8)}",
        width=svg.px(left + size + 8),
        role="img",
        aria_label=f"Confusion matrix of {n} classes",
        class_="chart wide",
    )


def _some(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, _MOST_POINTS)).astype(int))


def _percent(value: float) -> str:
    return f"{value:.0%}"
