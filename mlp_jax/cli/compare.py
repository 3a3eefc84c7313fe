"""`mlp-jax compare`: compare runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError


@dataclass(frozen=True)
class CompareOptions:
    """Options of `mlp-jax compare`."""

    runs: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(help_behavior_hint="", metavar="RUN ..."),
    ] = ()
    """run folders"""
    output: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = "compare.png"
    """plot of the curves to write"""


def compare(words: list[str]) -> int:
    """Run `mlp-jax compare`: print the table and draw the curves."""

    about = (
        "Compare the options and metrics of runs, and plot their curves.\n\n"
        "Example: mlp-jax compare runs/a runs/b --output curves.png"
    )
    options: CompareOptions = parse(CompareOptions, "compare", about, words, CompareOptions())
    if not options.runs:
        raise InputError("Name the runs to compare: mlp-jax compare RUN RUN …")
    from mlp_jax.reports.compare import print_comparison, read_runs
    from mlp_jax.reports.curves import draw_curves, picture_path

    path = picture_path(options.output)
    found = read_runs([Path(folder) for folder in options.runs])
    print_comparison(found)
    if draw_curves(found, path):
        print(f"curves: {path}")
    else:
        print("There are no curves to draw: these runs have no finished epoch.")
    return 0
