"""Figures of all charts: built without pyplot, plain frames, PNG files written atomically.

matplotlib is imported when a chart is drawn.
"""

import io
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.files import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
INK, PALE, FRAME = "#2b2b2b", "#d9d9d9", "#4a4a4a"
TRAIN, VALIDATION = "#3b6ea8", "#d1651f"
DASHED: Any = (0, (4, 3))
_LOG_RANGE = 30.0  # max / min from which losses are drawn on a logarithmic axis
_LONG_RANGE = 1e4  # from which only powers of ten are written on it
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def new_figure(width: float, height: float) -> "Figure":
    """Return a white figure of this size in inches, with constrained layout."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.09)
    return figure


def row_of_axes(figure: "Figure", n: int) -> list["Axes"]:
    """Return n panels side by side."""
    return grid_of_axes(figure, n, n)


def grid_of_axes(figure: "Figure", n: int, columns: int) -> list["Axes"]:
    """Return n panels in rows of `columns`; the rest of the last row stays empty."""
    axes = list(figure.subplots(-(-n // columns), columns, squeeze=False).ravel())
    for unused in axes[n:]:
        unused.remove()
    return axes[:n]


def plain_frame(axes: "Axes") -> None:
    """Hide the top and right spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.tick_params(which="both", color=FRAME)


def level_lines(axes: "Axes") -> None:
    """Draw pale horizontal grid lines behind the data, in a plain frame."""
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    plain_frame(axes)


@contextmanager
def missing_glyphs_allowed() -> Iterator[None]:
    """Ignore warnings of names in a script that the font lacks: they are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save(figure: "Figure", path: PathLike) -> None:
    """Write the figure as PNG, atomically.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    for axes in figure.axes:
        axes.title.set(fontsize=11, color=INK)
    buffer = io.BytesIO()
    with missing_glyphs_allowed():
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    write_bytes_atomic(path, buffer.getvalue())


def log_if_wide(axes: "Axes", values: np.ndarray) -> None:
    """Use a logarithmic y-axis if the values span several powers of ten."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() <= 0:
        return
    span = float(finite.max() / finite.min())
    if span >= _LOG_RANGE:
        log_axis(axes, every_decade=span < _LONG_RANGE)


def log_axis(axes: "Axes", *, every_decade: bool = False) -> None:
    """Use a logarithmic y-axis, with 1, 2 and 5 of every decade labelled or powers of ten alone."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    if every_decade:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power_or_number(value)))
    axes.minorticks_off()


def _power_or_number(value: float) -> str:
    """Format a label of a logarithmic axis: 0.05, 10⁻⁷."""
    exponent = math.log10(value) if value > 0 else 0.0
    if -4 < exponent < 5 or not exponent.is_integer():
        return f"{value:g}"
    return f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def add_tooltips(patches: Iterable[Any], words: Sequence[str]) -> None:
    """Give each bar a text that an HTML page shows under the pointer (see `inline_svg`)."""
    for patch, text in zip(patches, words, strict=True):
        patch.set_url(text)


def shortened(name: str, longest: int = 24) -> str:
    """Return the name with its middle elided if it is long; numbered names differ at the end."""
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 2
    return f"{name[: longest - 1 - tail]}…{name[len(name) - tail :]}"
