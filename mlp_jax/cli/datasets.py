"""`mlp-jax datasets`: what can be trained on, and what of it is on this machine."""

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class DatasetsOptions:
    """Everything that `mlp-jax datasets` can be told."""

    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where data sets lie; else MLP_JAX_DATA, else the user's data directory"""


def datasets(words: list[str]) -> int:
    """Prints the catalog."""

    about = (
        "The data sets that --data takes by name: rows, features, classes, size, licence, and\n"
        "whether each is on this machine.\n\n"
        "Example: mlp-jax datasets --data-dir /data"
    )
    options: DatasetsOptions = parse(DatasetsOptions, "datasets", about, words, DatasetsOptions())
    from mlp_jax.data.sources.listing import list_datasets

    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    print(list_datasets(options.data_dir, width, is_terminal and "NO_COLOR" not in os.environ))
    return 0
