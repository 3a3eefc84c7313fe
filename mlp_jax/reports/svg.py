"""Charts as inline SVG in the page's own colours: scales, ticks, axes, lines.

Coordinates are in user units of about a CSS pixel; a chart shrinks with the page.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlp_jax.reports.html import Markup, tag

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LABEL_HEIGHT = 15.0
_LOG_TICKS = (1, 2, 5)
_MOST_LOG_TICKS = 6


@dataclass(frozen=True)
class Axis:
    """Map of values from low to high onto pixels from start to end, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, value = (
            (math.log(v) if self.logarithmic else v) for v in (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return about this many round values on the axis."""
        if not self.logarithmic:
            return _round_values(self.low, self.high, about)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for multiples in (_LOG_TICKS, (1,)):
            found = [m * 10.0**e for e in range(first, last + 1) for m in multiples]
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) <= _MOST_LOG_TICKS:
                break
        every = -(-len(inside) // _MOST_LOG_TICKS) if inside else 1
        return inside[::every] or [self.low, self.high]


@dataclass(frozen=True)
class Chart:
    """A plot of width × height with margins for its axes, and its two axes."""

    x: Axis
    y: Axis
    width: float
    height: float

    def frame(
        self,
        x_label: str,
        y_label: str,
        *,
        x_ticks: Sequence[float] | None = None,
        y_ticks: Sequence[float] | None = None,
        write_x: Callable[[float], str] | None = None,
        write_y: Callable[[float], str] | None = None,
    ) -> Markup:
        """Draw grid lines, numbers and the names of the axes."""
        bottom, left, right = self.y.start, self.x.start, self.x.end
        parts = []
        for value in self.y.ticks() if y_ticks is None else y_ticks:
            at = self.y(value)
            parts.append(_rule(left, right, at, at, "grid"))
            label = (write_y or tick_text)(value)
            parts.append(text(left - 7, at + 4, label, "tick", anchor="end"))
        for value in self.x.ticks() if x_ticks is None else x_ticks:
            at = self.x(value)
            parts.append(_rule(at, at, bottom, bottom + 4, "mark"))
            parts.append(text(at, bottom + 17, (write_x or tick_text)(value), "tick"))
        parts.append(_rule(left, right, bottom, bottom, "mark"))
        parts.append(text((left + right) / 2, self.height - 4, x_label, "name"))
        parts.append(text(left, self.y.end - 11, y_label, "name", anchor="start"))
        return Markup("".join(parts))

    def line(self, xs: Sequence[float], ys: Sequence[float], class_: str) -> Markup:
        """Draw a line through the points, broken where a value is not finite."""
        steps, pen_down = [], False
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(y):
                steps.append(f"{'L' if pen_down else 'M'}{px(self.x(x))} {px(self.y(y))}")
            pen_down = math.isfinite(y)
        return tag("path", d=" ".join(steps), class_=f"line {class_}")

    def svg(self, title: str, *content: Markup) -> Markup:
        """Return the picture; screen readers read the title."""
        return tag(
            "svg",
            *content,
            viewBox=f"0 0 {px(self.width)} {px(self.height)}",
            role="img",
            aria_label=title,
            class_="chart",
            style=f"max-width:{px(1.2 * self.width)}px",
        )


def text(x: float, y: float, words: str, class_: str, anchor: str = "middle") -> Markup:
    """Draw text at a point."""
    return tag("text", words, x=px(x), y=px(y), class_=class_, text_anchor=anchor)


def circle(x: float, y: float, radius: float, class_: str, title: str = "") -> Markup:
    """Draw a dot with a tooltip."""
    inside = tag("title", title) if title else ""
    return tag("circle", inside, cx=px(x), cy=px(y), r=px(radius), class_=class_)


def bar(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> Markup:
    """Draw a rectangle with a tooltip."""
    inside = tag("title", title) if title else ""
    return tag(
        "rect", inside, x=px(x), y=px(y), width=px(max(width, 0)), height=px(max(height, 0)),
        class_=class_,
    )  # fmt: skip


def spread_apart(places: Sequence[float], gap: float = _LABEL_HEIGHT) -> list[float]:
    """Move label heights apart so that no two overlap."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, np.float64)
    for before, after in itertools.pairwise(order):
        overlap = moved[before] + gap - moved[after]
        if overlap > 0:
            moved[before] -= overlap / 2
            moved[after] += overlap / 2
    return [float(place) for place in moved]


def padded(values: np.ndarray, share: float = 0.05) -> tuple[float, float]:
    """Return an interval around the finite values, a share wider on each side, never empty."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = share * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def px(value: float) -> str:
    """Format a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def tick_text(value: float) -> str:
    """Format a number on an axis."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.6g}" if abs(value) >= 1e4 else f"{value:.6g}"


def _rule(x1: float, x2: float, y1: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=px(x1), x2=px(x2), y1=px(y1), y2=px(y2), class_=class_)


def _round_values(low: float, high: float, about: int) -> list[float]:
    rough = (high - low) / max(about, 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(s * size for s in _STEPS if s * size >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]
