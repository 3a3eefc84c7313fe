"""`mlp-jax runs`: list the runs in a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse, write_text
from mlp_jax.reports.listing import Order

DEFAULT = "runs"


@dataclass(frozen=True)
class RunsOptions:
    """Options of `mlp-jax runs`."""

    folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER")] = DEFAULT
    """folder of the runs"""
    sort: Order = "newest"
    """order: newest first, or by metric, best first"""
    json: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = None
    """write all values as JSON to this file; without a file, or with -, print them"""


def runs(words: list[str]) -> int:
    """Run `mlp-jax runs`: print the table or write JSON."""

    about = (
        "List the runs in a folder: data, network, epochs, best metric, metric on the test rows,\n"
        "status and time.\n\nExample: mlp-jax runs --sort metric"
    )
    words = _with_json_file(words)
    options: RunsOptions = parse(RunsOptions, "runs", about, words, RunsOptions())
    from mlp_jax.reports.folder import find_runs
    from mlp_jax.reports.listing import json_text, ordered, print_runs

    folder = Path(options.folder)
    first_time = options.folder == DEFAULT and not folder.exists()
    found = [] if first_time else ordered(find_runs(folder), options.sort)
    if options.json is not None:
        write_text(options.json, json_text(found))
    elif found:
        print_runs(found)
    else:
        print(f"No runs in {folder} yet. `mlp-jax train` creates one.")
    return 0


def _with_json_file(words: list[str]) -> list[str]:
    """Return the words with - as the file of a --json that has none."""
    found = []
    for index, word in enumerate(words):
        found.append(word)
        following = words[index + 1 : index + 2]
        if word == "--json" and (
            not following or following[0].startswith("--") or Path(following[0]).is_dir()
        ):
            found.append("-")
    return found
