"""`mlp-jax runs`: a table of the runs in a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse
from mlp_jax.reports.listing import Order

DEFAULT = "runs"


@dataclass(frozen=True)
class RunsOptions:
    """Everything that `mlp-jax runs` can be told."""

    folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER")] = DEFAULT
    """where the runs are"""
    sort: Order = "newest"
    """newest first, or by metric, the best first"""
    json: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False
    """for a program: every figure, unrounded"""


def runs(words: list[str]) -> int:
    """Prints the table."""

    about = (
        "The runs in a folder: data, network, epochs, best metric, metric on the test rows,\n"
        "status and time.\n\nExample: mlp-jax runs --sort metric"
    )
    options: RunsOptions = parse(RunsOptions, "runs", about, words, RunsOptions())
    from mlp_jax.reports.folder import find_runs
    from mlp_jax.reports.listing import ordered, print_json, print_runs

    folder = Path(options.folder)
    first_time = options.folder == DEFAULT and not folder.exists()
    found = [] if first_time else ordered(find_runs(folder), options.sort)
    if options.json:
        print_json(found)
    elif found:
        print_runs(found)
    else:
        print(f"No runs in {folder} yet. `mlp-jax train` makes one.")
    return 0
