"""`mlp-jax datasets`: list the named data sets."""

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class DatasetsOptions:
    """Options of `mlp-jax datasets`."""

    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """folder of the data sets (default: $MLP_JAX_DATA, or the user's data directory)"""


def datasets(words: list[str]) -> int:
    """Run `mlp-jax datasets`: print the catalog."""

    about = (
        "List the data sets that --data takes by name: rows, features, classes, size, licence,\n"
        "and whether each is on this machine.\n\n"
        "Example: mlp-jax datasets --data-dir /data"
    )
    options: DatasetsOptions = parse(DatasetsOptions, "datasets", about, words, DatasetsOptions())
    from mlp_jax.data.sources.listing import list_datasets

    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    print(list_datasets(options.data_dir, width, is_terminal and "NO_COLOR" not in os.environ))
    return 0
