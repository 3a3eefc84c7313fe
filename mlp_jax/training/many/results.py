"""What a sweep leaves behind: a ranked table, sweep.csv, a picture, the best model."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlp_jax.files import jsonl, write_text_atomic
from mlp_jax.training.canvas import grid_of_axes, new_figure, plain_frame, save
from mlp_jax.training.config import CONFIG_FILE, to_toml
from mlp_jax.training.finish import finish
from mlp_jax.training.folder import CHECK_FILE
from mlp_jax.training.logs import METRICS_FILE
from mlp_jax.training.many.sweep import Found, Scored
from mlp_jax.training.setup import Parts

SWEEP_CSV, SWEEP_PLOT = "sweep.csv", "sweep.png"
_SHOWN = 10  # rows of the table


@dataclass(frozen=True)
class Columns:
    """The names of a sweep's columns: the numbers that were drawn, then the metric."""

    numbers: tuple[str, ...]
    metric: str


def ranked_csv(ranked: list[Scored], columns: Columns) -> str:
    """All trials, best first, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    metric = f"validation_{columns.metric}"
    writer.writerow(
        ["rank", "trial", "hidden", *columns.numbers, "epochs", metric, "spread", "diverged"]
    )
    for rank, one in enumerate(ranked, start=1):
        numbers = [f"{one.trial.values[name]:.6g}" for name in columns.numbers]
        hidden = "-".join(map(str, one.trial.hidden))
        figures = [f"{value:.6g}" for value in (one.mean, one.spread)]
        writer.writerow(
            [rank, one.trial.number, hidden, *numbers, one.epochs, *figures, one.diverged]
        )
    return text.getvalue()


def ranked_table(ranked: list[Scored], columns: Columns) -> str:
    """The best trials as a table for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False)
    for name in ("rank", "hidden", *columns.numbers, "epochs", columns.metric, "±"):
        grid.add_column(name.replace("_", " "), justify="right")
    for rank, one in enumerate(ranked[:_SHOWN], start=1):
        failed = f" ({one.diverged} diverged)" if one.diverged else ""
        grid.add_row(
            str(rank),
            "-".join(map(str, one.trial.hidden)),
            *(f"{one.trial.values[name]:.3g}" for name in columns.numbers),
            str(one.epochs),
            f"{one.mean:.4f}{failed}",
            f"{one.spread:.4f}",
        )
    text = io.StringIO()
    Console(file=text, width=100).print(grid)
    lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
    rest = len(ranked) - _SHOWN
    return "\n".join([*lines, f"and {rest} more in {SWEEP_CSV}"] if rest > 0 else lines)


def sweep_plot(ranked: list[Scored], columns: Columns, path: Path) -> None:
    """The metric over each number that was drawn, a mark a trial with its spread over the seeds."""
    names = columns.numbers or ("rank",)
    figure = new_figure(4.2 * min(len(names), 2), 3.2 * -(-len(names) // 2))
    shapes = sorted({one.trial.hidden for one in ranked})
    for axes, name in zip(grid_of_axes(figure, len(names), min(len(names), 2)), names, strict=True):
        values: list[float] = []
        for shape in shapes:
            own = [(k, o) for k, o in enumerate(ranked, 1) if o.trial.hidden == shape]
            known = [(k, one) for k, one in own if np.isfinite(one.mean)]
            xs = [one.trial.values.get(name, k) for k, one in known]
            label = "-".join(map(str, shape)) if len(shapes) > 1 else None
            axes.errorbar(
                xs,
                [one.mean for _, one in known],
                [one.spread for _, one in known],
                fmt="o",
                markersize=4,
                linewidth=0.8,
                label=label,
            )
            values += xs
        if values and min(values) > 0 and max(values) / min(values) >= 30:
            axes.set_xscale("log")
        axes.set(xlabel=name.replace("_", " "), ylabel=f"validation {columns.metric}")
        if len(shapes) > 1:
            axes.legend(frameon=False, fontsize=9)
        plain_frame(axes)
    save(figure, path)


def leave_behind(folder: Path, found: Found, parts: Parts, columns: Columns) -> dict[str, float]:
    """Writes the ranking, and the best network as a run leaves it; its metrics on the test rows.

    parts: those of the best network.
    """
    write_text_atomic(folder / CONFIG_FILE, to_toml(found.config))
    write_text_atomic(folder / CHECK_FILE, found.best.report.to_json())
    write_text_atomic(folder / METRICS_FILE, "".join(map(jsonl, found.best.history)))
    write_text_atomic(folder / SWEEP_CSV, ranked_csv(found.ranked, columns))
    sweep_plot(found.ranked, columns, folder / SWEEP_PLOT)
    return finish(folder, found.config, parts, found.best)
