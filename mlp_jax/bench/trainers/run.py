"""Run the benchmark in benchmarks/trainers, where this package lies in a checkout."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mlp_jax.errors import InputError

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def run(names: tuple[str, ...], rounds: int, command: str, **options: Any) -> dict[str, Any]:
    """Run `trainers.run.run` of the checkout with these arguments and return its record.

    Raises:
        InputError: where there is no checkout, as in an installed wheel.
    """
    if not (BENCHMARKS / "trainers").is_dir():
        raise InputError(
            "`mlp-jax bench trainers` needs the folder benchmarks/, which an installed package does"
            " not have: clone the repository, run pip install -e '.[bench]' and try again there."
        )
    if str(BENCHMARKS) not in sys.path:
        sys.path.insert(0, str(BENCHMARKS))
    record: dict[str, Any] = import_module("trainers.run").run(names, rounds, command, **options)
    return record
