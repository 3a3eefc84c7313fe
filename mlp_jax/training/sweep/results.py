"""Results of a sweep: ranked table, sweep.csv, plot, best model."""

import csv
import io
from pathlib import Path

from mlp_jax.files import jsonl, write_text_atomic
from mlp_jax.training.run.build import RunComponents
from mlp_jax.training.run.config import CONFIG_FILE, to_toml
from mlp_jax.training.run.finish import finish
from mlp_jax.training.run.folder import CHECK_FILE
from mlp_jax.training.run.logs import METRICS_FILE
from mlp_jax.training.sweep.search import SweepResult, TrialScore
from mlp_jax.training.sweep.sweep_plot import RankingColumns, sweep_plot

SWEEP_CSV, SWEEP_PLOT = "sweep.csv", "sweep.png"
_SHOWN = 10  # rows of the table


def ranked_csv(ranked: list[TrialScore], columns: RankingColumns) -> str:
    """Return all trials as CSV, best first."""
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


def ranked_table(ranked: list[TrialScore], columns: RankingColumns) -> str:
    """Return the best trials as a text table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False)
    spread = ("±",) if columns.seeds > 1 else ()
    for name in ("rank", "hidden", *columns.numbers, "epochs", columns.metric, *spread):
        grid.add_column(name.replace("_", " "), justify="right")
    for rank, one in enumerate(ranked[:_SHOWN], start=1):
        failed = f" ({one.diverged} diverged)" if one.diverged else ""
        grid.add_row(
            str(rank),
            "-".join(map(str, one.trial.hidden)),
            *(f"{one.trial.values[name]:.3g}" for name in columns.numbers),
            str(one.epochs),
            f"{one.mean:.4f}{failed}",
            *(f"{one.spread:.4f}" for _ in spread),
        )
    text = io.StringIO()
    Console(file=text, width=100).print(grid)
    lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
    rest = len(ranked) - _SHOWN
    return "\n".join([*lines, f"and {rest} more in {SWEEP_CSV}"] if rest > 0 else lines)


def leave_behind(
    folder: Path, found: SweepResult, components: RunComponents, columns: RankingColumns
) -> dict[str, float]:
    """Write the ranking and the best network; return its metrics on the test rows.

    components: those of the best network.
    """
    write_text_atomic(folder / CONFIG_FILE, to_toml(found.config))
    write_text_atomic(folder / CHECK_FILE, found.best.report.to_json())
    write_text_atomic(folder / METRICS_FILE, "".join(map(jsonl, found.best.history)))
    write_text_atomic(folder / SWEEP_CSV, ranked_csv(found.ranked, columns))
    sweep_plot(found.ranked, columns, folder / SWEEP_PLOT)
    return finish(folder, found.config, components, found.best)
