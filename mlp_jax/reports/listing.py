"""Tables of runs for a terminal, a pipe, or a program."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mlp_jax.charts.figures import shortened
from mlp_jax.files import plain
from mlp_jax.reports.folder import RunRecord

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Order = Literal["newest", "metric"]
COLUMNS = ("run", "data", "network", "epochs", "best (epoch)", "test", "status", "when", "took")
LEFT_OUT_FIRST = ("took", "when", "network", "data")  # where the terminal is narrow
_NUMBERS = ("epochs", "best (epoch)", "test", "took")
_GAP = 2
_SHORTEST_NAME = 10
_STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow", "failed": "red"}


def ordered(runs: Iterable[RunRecord], order: Order) -> list[RunRecord]:
    """Sort the runs, newest first or by a metric, best value first; also return its name."""
    if order == "newest":
        return list(runs)

    def place(run: RunRecord) -> tuple[bool, str, float]:
        best = run.best
        if best is None:
            return True, "", 0.0
        return False, best.metric, -best.value if best.higher else best.value

    return sorted(runs, key=place)


def cells(run: RunRecord, now: datetime | None = None) -> dict[str, str]:
    """Return the cells of a run, by column."""
    best, (done, asked) = run.best, run.epochs
    tested = run.test.get(best.metric) if best is not None else None
    return {
        "run": run.name,
        "data": run.data,
        "network": run.network,
        "epochs": f"{done}/{asked if asked is not None else '?'}",
        "best (epoch)": f"{best.metric} {short(best.value)} ({best.epoch})" if best else "–",
        "test": short(tested),
        "status": run.status,
        "when": when(run.started, now),
        "took": clock(run.duration),
    }


def print_runs(runs: Sequence[RunRecord], console: "Console | None" = None) -> None:
    """Print the table; columns that do not fit are omitted and named."""
    from rich.text import Text

    console = console or console_for(sys.stdout)
    rows = [cells(run) for run in runs]
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in COLUMNS}
    columns = list(COLUMNS)
    for name in LEFT_OUT_FIRST:
        if _total(widths[column] for column in columns) > console.width:
            columns.remove(name)
    excess = max(0, _total(widths[column] for column in columns) - console.width)
    longest = max(_SHORTEST_NAME, widths["run"] - excess)
    table = plain_table()
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        row["run"] = shortened(row["run"], longest)
        styled = [
            Text(row[name], style=_STYLES[row["status"]] if name == "status" else "")
            for name in columns
        ]
        table.add_row(*styled)
    console.print(table)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        console.print(Text(f"Not shown at this width: {', '.join(missing)}.", style="dim"))


def as_json(run: RunRecord) -> dict[str, Any]:
    """Return everything in the table about a run, unrounded."""
    best, (done, asked) = run.best, run.epochs
    return plain(
        {
            "run": run.name,
            "folder": str(run.folder),
            "data": run.data,
            "network": run.network,
            "epochs": done,
            "epochs_asked": asked,
            "metric": best.metric if best else None,
            "best": best.value if best else None,
            "best_epoch": best.epoch if best else None,
            "test": dict(run.test),
            "status": run.status,
            "started": run.started.isoformat() if run.started else None,
            "seconds": run.duration.total_seconds() if run.duration else None,
        }
    )


def json_text(runs: Sequence[RunRecord]) -> str:
    """Return a JSON list of the runs, in ASCII unless the terminal can show UTF-8."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps([as_json(run) for run in runs], indent=2, ensure_ascii=not unicode) + "\n"


def console_for(stream: Any) -> "Console":
    """Return a console of the terminal's width; in a pipe, without colours and truncation."""
    from rich.console import Console

    if stream.isatty():
        return Console(file=stream, highlight=False)
    return Console(file=stream, highlight=False, width=10_000, color_system=None)


def plain_table() -> "Table":
    """Return a table without a frame, with spaced columns and a line under the head."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )


def _total(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + _GAP * (len(found) - 1)


def short(value: float | None) -> str:
    """Format four significant digits, "–" for None."""
    if value is None:
        return "–"
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e5):
        return f"{value:.2e}"
    return f"{value:.4f}" if size < 10 else f"{value:.5g}"


def clock(duration: timedelta | None) -> str:
    """Format a duration: 4.2 s, 3:20, 2:03:20."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def when(started: datetime | None, now: datetime | None = None) -> str:
    """Format a time of today, else with the date."""
    if started is None:
        return "–"
    today = (now or datetime.now().astimezone()).date()
    return f"{started:today %H:%M}" if started.date() == today else f"{started:%Y-%m-%d %H:%M}"
