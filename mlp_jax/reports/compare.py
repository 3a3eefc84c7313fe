"""Comparison of runs: a table of the differences, and their curves in one picture."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlp_jax.charts.figures import shortened
from mlp_jax.reports.folder import RunRecord, higher_better, number, read_run
from mlp_jax.reports.health import noise_scale
from mlp_jax.reports.listing import clock, console_for, plain_table, short
from mlp_jax.reports.parameters import parameter_count

if TYPE_CHECKING:
    from rich.console import Console

MISSING = "–"
_WIDEST = 26  # characters of a run's column; a longer cell goes on below
_GAP = 2
_MARK = " *"


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read the runs in these folders, each once. Raises RunFolderError for one without a run."""
    found = {folder.resolve(): read_run(folder) for folder in folders}
    return list(found.values())


class Line(NamedTuple):
    """A row of the comparison: its name, a cell per run, and the indices of the best cells."""

    name: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()


def lines(runs: Sequence[RunRecord]) -> list[Line]:
    """List differences in the configuration, then the results."""
    found = [
        Line(name, tuple(_setting(run.config.get(name)) for run in runs))
        for name in differing(runs)
    ]
    found.append(Line("network", tuple(run.network for run in runs)))
    found.append(Line("parameters", tuple(_count(parameter_count(run)) for run in runs)))
    found.append(Line("status", tuple(run.status for run in runs)))
    found.append(Line("epochs run", tuple(_epochs(run) for run in runs)))
    found.extend(_judged(runs))
    for metric in dict.fromkeys(name for run in runs for name in run.test):
        values = [run.test.get(metric) for run in runs]
        higher, compares = higher_better(metric), comparable(runs)
        found.append(_figures(f"test {metric}", values, higher, compares))
    scales = [noise_scale(run) for run in runs]
    if any(scale is not None for scale in scales):
        shown = tuple(MISSING if scale is None else f"{scale:.3g}" for scale in scales)
        found.append(Line("noise scale", shown))
    found.append(Line("time", tuple(clock(run.duration) for run in runs)))
    speeds = [f"{run.speed:,.0f}" if run.speed else MISSING for run in runs]
    found.append(Line("samples/s", tuple(speeds)))
    return found


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """Return the fields of the configuration that differ between the runs."""
    names = dict.fromkeys(name for run in runs for name in run.config)
    return [name for name in names if len({_setting(run.config.get(name)) for run in runs}) > 1]


def print_comparison(runs: Sequence[RunRecord], console: "Console | None" = None) -> None:
    """Print the table: a column per run, the best value marked with *.

    Runs that do not fit side by side follow below, with the same rows.
    """
    from rich.text import Text

    console = console or console_for(sys.stdout)
    names = [shortened(name, _WIDEST) for name in names_of(runs)]
    found = lines(runs)
    marked = any(line.best for line in found)
    for number_of_table, shown in enumerate(_groups(names, found, console.width)):
        if number_of_table:
            console.print()
        table = plain_table()
        table.add_column("", no_wrap=True)
        for index in shown:
            table.add_column(Text(names[index]), no_wrap=False, max_width=_WIDEST)
        for line in found:
            cells = [
                Text(line.cells[index] + _MARK, style="bold green")
                if index in line.best
                else Text(line.cells[index])
                for index in shown
            ]
            table.add_row(Text(line.name, style="dim"), *cells)
        console.print(table)
    if marked:
        console.print(Text("* the best of these runs", style="dim"))
    if note := caution(runs):
        console.print(Text(note, style="yellow"))


def _groups(names: Sequence[str], found: Sequence[Line], width: int) -> list[list[int]]:
    """Split the runs into groups that fit side by side, at least one run each."""
    first = max(len(line.name) for line in found)
    groups: list[list[int]] = [[]]
    room = width - first
    for index, name in enumerate(names):
        wanted = max(len(name), *(len(line.cells[index]) + len(_MARK) for line in found))
        needs = min(wanted, _WIDEST) + _GAP
        if needs > room and groups[-1]:
            groups.append([])
            room = width - first
        groups[-1].append(index)
        room -= needs
    return groups


def caution(runs: Sequence[RunRecord]) -> str:
    """Return a warning if the runs cannot be compared; "" if they can."""
    if len(runs) < 2:
        return ""
    if len({run.data for run in runs}) > 1:
        return "These runs were trained on different data: their metrics cannot be compared."
    splits = {tuple(_setting(run.config.get(k)) for k in ("test", "validation")) for run in runs}
    if len(splits) > 1 or len({_setting(run.config.get("seed")) for run in runs}) > 1:
        return "These runs were split differently, so they were evaluated on different rows."
    return ""


def names_of(runs: Sequence[RunRecord]) -> list[str]:
    """Return each run's name, its path if another has the same name."""
    names = [run.name for run in runs]
    return [
        str(run.folder) if names.count(name) > 1 else name
        for run, name in zip(runs, names, strict=True)
    ]


def comparable(runs: Sequence[RunRecord]) -> bool:
    """Return True if the same metric of these runs can be compared."""
    return len({run.data for run in runs}) == 1


def _judged(runs: Sequence[RunRecord]) -> list[Line]:
    """List the best and the last value of every metric that some run monitors."""
    found = []
    for name in dict.fromkeys(run.metric for run in runs if run.metric):
        metric, higher = name.replace("_", " ", 1), higher_better(name.partition("_")[2])
        bests = [run.best if run.metric == name else None for run in runs]
        values = [best.value if best else None for best in bests]
        shown = tuple(f"{short(b.value)} (epoch {b.epoch})" if b else MISSING for b in bests)
        found.append(Line(f"best {metric}", shown, _best_of(values, higher, comparable(runs))))
        last = [number(run.history[-1].get(name)) if run.history else None for run in runs]
        found.append(_figures(f"final {metric}", last, higher, comparable(runs)))
    return found


def _figures(name: str, values: Sequence[float | None], higher: bool, compares: bool) -> Line:
    return Line(name, tuple(map(short, values)), _best_of(values, higher, compares))


def _best_of(values: Sequence[float | None], higher: bool, compares: bool) -> frozenset[int]:
    """Return the indices of the best value, if several are known, they differ, and they compare."""
    known = [value for value in values if value is not None]
    if not compares or len(set(known)) < 2:
        return frozenset()
    best = max(known) if higher else min(known)
    return frozenset(index for index, value in enumerate(values) if value == best)


def _epochs(run: RunRecord) -> str:
    done, asked = run.epochs
    return f"{done} of {asked}" if asked is not None else str(done)


def _count(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"


def _setting(value: Any) -> str:
    """Format a value of the configuration."""
    if value is None or value == []:
        return MISSING
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
