"""Figures of all plots: built without pyplot, plain frames, files written atomically.

matplotlib is imported when a plot is drawn.
"""

import io
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.files import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
INK, PALE, FRAME = "#2b2b2b", "#d9d9d9", "#4a4a4a"
_LONGEST_NAME = 24
_LOG_RANGE = 30.0  # max / min from which losses are drawn on a logarithmic axis
_LONG_RANGE = 1e4  # from which only powers of ten are written on it


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
    axes.tick_params(color=FRAME)


def save(figure: "Figure", path: PathLike) -> None:
    """Write the figure as PNG, atomically.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    for axes in figure.axes:
        axes.title.set(fontsize=11, color=INK)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    write_bytes_atomic(path, buffer.getvalue())


def log_if_wide(axes: "Axes", values: np.ndarray) -> None:
    """Use a logarithmic y-axis if the values span several powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() / finite.min() >= _LOG_RANGE:
        axes.set_yscale("log")
        if finite.max() / finite.min() < _LONG_RANGE:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())


def finish_curve(axes: "Axes", epochs: np.ndarray, label: str) -> None:
    """Add labels, integer epochs, grid and legend to a curve over epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if len(epochs):
        margin = max(0.03 * (epochs[-1] - epochs[0]), 0.5)
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    plain_frame(axes)


def shortened(name: str) -> str:
    """Return the name with its middle elided if it is long; numbered names differ at the end."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
