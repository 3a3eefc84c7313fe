"""Curves of several runs in one PNG file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlp_jax.charts.curves import finish_curve
from mlp_jax.charts.figures import (
    PALE,
    grid_of_axes,
    log_if_wide,
    new_figure,
    save,
    shortened,
)
from mlp_jax.errors import RunFolderError
from mlp_jax.reports.compare import names_of
from mlp_jax.reports.folder import RunRecord, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008): told apart by colour-blind eyes; black and yellow left out for white paper.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_LONGEST_NAME = 34
_FEW_POINTS = 25
_MOST_COLUMNS = 2
_DOTTED = "dotted: training loss"


class Panel(NamedTuple):
    """One panel: its axis title, and the name of the curve in each run's history."""

    title: str
    names: tuple[str | None, ...]


def panels(runs: Sequence[RunRecord]) -> list[Panel]:
    """List a panel per loss, then one per metric: what does not compare does not share an axis."""
    found = []
    for loss in dict.fromkeys(_loss(run) for run in runs):
        names = tuple(_loss_curve(run) if _loss(run) == loss else None for run in runs)
        found.append(Panel(f"loss: {loss}", names))
    judged = [run.metric or "" for run in runs]
    metrics = [None if name.endswith("loss") else name or None for name in judged]
    for metric in dict.fromkeys(name for name in metrics if name):
        names = tuple(name if name == metric else None for name in metrics)
        found.append(Panel(metric.replace("_", " "), names))
    return [panel for panel in found if any(panel.names)]


def picture_path(output: str) -> Path:
    """Return the path of a PNG file; RunFolderError for another kind or a missing folder."""
    path = Path(output)
    if path.suffix.lower() != ".png":
        raise RunFolderError(f"The curves become a PNG file, so '{output}' must end in .png.")
    if not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    return path


def draw_curves(runs: Sequence[RunRecord], path: Path) -> bool:
    """Draw validation curves by epoch, a colour per run, with the training loss dotted and pale.

    Draws nothing and returns False if no epoch has ended. RunFolderError if the file cannot be
    written.
    """
    shown = panels(runs)
    if not shown:
        return False
    columns = min(len(shown), _MOST_COLUMNS)
    names = 2 if columns == 1 else 3
    height = 4.0 * -(-len(shown) // columns) + 0.25 * -(-len(runs) // names)
    figure = new_figure(5.6 * columns, height)
    for axes, panel in zip(grid_of_axes(figure, len(shown), columns), shown, strict=True):
        _draw_panel(axes, runs, panel)
    known: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
        legend = axes.get_legend()
        if legend is not None:
            legend.remove()
    labels = sorted(known, key=lambda label: label == _DOTTED)
    lines = [known[label] for label in labels]
    figure.legend(
        lines, labels, loc="outside lower left", frameon=False, fontsize=9, ncols=names,
        handlelength=2.8,
    )  # fmt: skip
    save(figure, path)
    return True


def _draw_panel(axes: "Axes", runs: Sequence[RunRecord], panel: Panel) -> None:
    last, values = 1, []
    for index, (run, label) in enumerate(zip(runs, names_of(runs), strict=True)):
        name = panel.names[index]
        if name is None:
            continue
        color = COLORS[index % len(COLORS)]
        dash = DASHES[index // len(COLORS) % len(DASHES)]
        epochs, curve = points(run, name)
        marker = "o" if len(epochs) <= _FEW_POINTS else ""
        label = shortened(label, _LONGEST_NAME)
        axes.plot(epochs, curve, color=color, linestyle=dash, marker=marker, markersize=3.5,
                  linewidth=1.7, label=label, zorder=3)  # fmt: skip
        values.append(curve)
        if name == "validation_loss":
            epochs, curve = points(run, "train_loss")
            axes.plot(epochs, curve, color=color, linestyle=(0, (1, 1.6)), linewidth=1.2, alpha=0.7)
            values.append(curve)
        last = max([last, *epochs.astype(int).tolist()])
    if panel.title.startswith("loss"):
        log_if_wide(axes, np.concatenate(values))
        axes.plot([], [], color=PALE, linestyle=(0, (1, 1.6)), label=_DOTTED)
    finish_curve(axes, [1, last], panel.title)


def points(run: RunRecord, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (epochs, values) of a curve where it is finite."""
    found = [
        (number(record.get("epoch")) or index, value)
        for index, record in enumerate(run.history, start=1)
        if (value := number(record.get(name))) is not None
    ]
    epochs, values = zip(*found, strict=True) if found else ((), ())
    return np.array(epochs, np.float64), np.array(values, np.float64)


def _loss(run: RunRecord) -> str:
    """Return the name of the loss: runs of the same loss share an axis."""
    said = run.config.get("loss") or run.metadata.get("loss")
    if said:
        return str(said)
    regression = run.metadata.get("task") == "regression" or {"rmse", "r2"} & set(run.test)
    return "squared_error" if regression else "cross-entropy"


def _loss_curve(run: RunRecord) -> str | None:
    return next(
        (name for name in ("validation_loss", "train_loss") if points(run, name)[0].size), None
    )
