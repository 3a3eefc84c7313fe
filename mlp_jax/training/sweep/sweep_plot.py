"""Plot of a sweep, sweep.png: the metric over each hyperparameter."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.charts.figures import (
    INK,
    grid_of_axes,
    level_lines,
    log_if_wide,
    new_figure,
    save,
)
from mlp_jax.training.sweep.search import TrialScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEST = "#d1495b"


@dataclass(frozen=True)
class RankingColumns:
    """Columns of the ranking of a sweep.

    numbers: names of the hyperparameters that vary. logarithmic: those drawn on a logarithmic
    scale. metric: metric that ranks the trials. seeds: networks per trial.
    """

    numbers: tuple[str, ...]
    logarithmic: tuple[str, ...]
    metric: str
    seeds: int


def sweep_plot(ranked: list[TrialScore], columns: RankingColumns, path: Path) -> None:
    """Draw a panel per hyperparameter, with a marker and the spread of each trial."""
    names = columns.numbers or ("rank",)
    across = min(len(names), 2)
    figure = new_figure(4.4 * across + 0.4, 3.2 * -(-len(names) // across) + 0.3)
    panels = grid_of_axes(figure, len(names), across)
    for number, (axes, name) in enumerate(zip(panels, names, strict=True)):
        _panel(axes, ranked, name)
        if name in columns.logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(name.replace("_", " "))
        if number % across == 0:
            axes.set_ylabel(f"validation {columns.metric.replace('_', ' ')}")
        else:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        log_if_wide(axes, np.array([one.mean for one in ranked]))
        level_lines(axes)
    figure.suptitle(_caption(ranked, columns), fontsize=10, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 * across + 1, frameon=False, fontsize=9
    )
    save(figure, path)


def _panel(axes: "Axes", ranked: list[TrialScore], name: str) -> None:
    """Draw the markers of a panel, one colour per shape, pale before the last rung."""
    places = {one.trial.number: rank for rank, one in enumerate(ranked, start=1)}
    known = [one for one in ranked if np.isfinite(one.mean)]
    last = max(one.epochs for one in ranked)
    finalists = {one.trial.hidden for one in known if one.epochs == last}
    for number, shape in enumerate(sorted({one.trial.hidden for one in ranked})):
        label = "-".join(map(str, shape)) or "no hidden layer"
        for whole in (True, False):
            own = [o for o in known if o.trial.hidden == shape and (o.epochs == last) == whole]
            if not own:
                continue
            axes.errorbar(
                [one.trial.values.get(name, places[one.trial.number]) for one in own],
                [one.mean for one in own],
                [one.spread for one in own] if any(one.spread for one in own) else None,
                fmt="o",
                color=f"C{number}",
                markersize=4.5,
                markeredgewidth=0,
                elinewidth=0.8,
                alpha=0.85 if whole else 0.35,
                label=label if whole or shape not in finalists else None,
            )
    best = known[0]
    axes.plot(
        best.trial.values.get(name, 1),
        best.mean,
        "o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=_BEST,
        markeredgewidth=1.5,
        label="best",
        zorder=5,
    )


def _caption(ranked: list[TrialScore], columns: RankingColumns) -> str:
    """Return the caption of the markers."""
    count, seeds = len(ranked), columns.seeds
    each = "one network each" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"
    pale = "; pale: fewer epochs" if len({one.epochs for one in ranked}) > 1 else ""
    return f"{count} trial{'s' * (count != 1)}, best epochs: {each}{pale}"
