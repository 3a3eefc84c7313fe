"""Pictures of an inspection: distributions of loss and gradient norm, and the suspects.

Letters: N rows.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.charts.figures import (
    FRAME,
    INK,
    PALE,
    grid_of_axes,
    new_figure,
    plain_frame,
    row_of_axes,
    save,
    shortened,
)
from mlp_jax.model.examples import suspects_first
from mlp_jax.reports.inspect.findings import Findings
from mlp_jax.reports.pictures import input_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUSPECTS, COLUMNS = 40, 8
SHARE = 0.05  # of the rows, marked as the top
AGREES, DIFFERS = "#3b6ea8", "#d1651f"
_BINS = 60
_ONE_LINE = 10  # letters of label and prediction that stand side by side
_DECADES = 4.0  # drawn below the largest value; a note counts the rest


def draw_distribution(findings: Findings, loss: str, path: Path) -> None:
    """Draw histograms of loss and gradient norm on logarithmic axes, with the top share marked."""
    figure = new_figure(10.4, 4.1)
    panels = (
        (findings.examples.loss, f"loss of a row ({loss})"),
        (findings.examples.gradient_norm, "norm of a row's gradient, over all parameters"),
    )
    several = row_of_axes(figure, 2)
    for axes, (values, label) in zip(several, panels, strict=True):
        _histogram(axes, values.astype(np.float64), findings.wrong)
        axes.set(xlabel=label, ylabel="rows")
        plain_frame(axes)
    if findings.wrong.any():
        shown = several[0].get_legend_handles_labels()
        figure.legend(*shown, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    save(figure, path)


def _histogram(axes: "Axes", values: np.ndarray, wrong: np.ndarray) -> None:
    """Draw one measure, rows with agreeing predictions below those with other ones."""
    largest = float(values.max()) or 1.0
    lowest = max(float(values.min()), largest / 10**_DECADES)
    edges = np.geomspace(min(lowest, largest / 2), largest, _BINS + 1)
    groups, colors, names = [values], [AGREES], ["all rows"]
    if wrong.any():
        groups, colors = [values[~wrong], values[wrong]], [AGREES, DIFFERS]
        names = ["prediction agrees with the label", "prediction differs"]
    axes.hist(groups, edges.tolist(), stacked=True, color=colors, label=names)
    axes.set_xscale("log")
    axes.margins(y=0.18)
    if below := int(np.sum(values < edges[0])):
        _note(axes, f"{below:,} rows\nbelow {edges[0]:.2g}", edges[0], 1)
    limit = float(np.quantile(values, 1 - SHARE))
    if limit > edges[0]:
        axes.axvspan(limit, edges[-1], color=PALE, alpha=0.5, zorder=0, linewidth=0)
        axes.axvline(limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        _note(axes, f"top {SHARE:.0%}:\nabove {limit:.3g}", limit, -1)
    axes.set_xlim(edges[0], edges[-1])


def _note(axes: "Axes", text: str, x: float, side: int) -> None:
    """Write text at the top of a panel beside x, to the right (1) or to the left (-1)."""
    axes.annotate(
        text,
        (x, 0.98),
        (5 * side, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        ha="left" if side > 0 else "right",
        color=INK,
        fontsize=9,
    )


def draw_suspects(findings: Findings, by: str, shape: tuple[int, ...], path: Path) -> None:
    """Draw the most suspicious rows as pictures: label, prediction, row number."""
    chosen = suspects_first(findings.examples, by)[:SUSPECTS]
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    low, high = float(min(findings.x.min(), 0)), float(findings.x.max())
    pairs = [
        tuple(shortened(str(words[place])) for words in (findings.label, findings.predicted))
        for place in chosen
    ]
    between = " → " if max(len(a) + len(b) for a, b in pairs) <= _ONE_LINE else "\n→ "
    figure = new_figure(1.45 * max(columns, 4), 1.8 * rows + 0.5)
    parts = len(set(findings.part.tolist())) > 1
    title = f"{len(chosen)} most suspicious rows by {by.replace('_', ' ')}"
    figure.suptitle(f"{title}: label → prediction", color=INK, fontsize=12)
    grid = grid_of_axes(figure, len(chosen), columns)
    for axes, place, (label, said) in zip(grid, chosen, pairs, strict=True):
        axes.imshow(input_picture(findings.x[place], shape, low, high), cmap="gray_r")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(DIFFERS if findings.wrong[place] else FRAME)
        where = f"{findings.part[place]} row" if parts else "row"
        sure = "" if np.isnan(findings.p[place]) else f"p {findings.p[place]:.2g}"
        caption = filter(None, (f"{where} {findings.row[place]}", sure))
        axes.set_title(f"{label}{between}{said}")
        text = ("\n" if parts else ", ").join(caption)
        axes.set_xlabel(text, fontsize=7.5, color=FRAME, labelpad=2)
    save(figure, path)
