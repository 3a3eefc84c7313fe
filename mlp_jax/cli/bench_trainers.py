"""`mlp-jax bench trainers`: training speed compared with other libraries."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError

FULL_ROUNDS, QUICK_ROUNDS = 9, 3


@dataclass(frozen=True)
class TrainersOptions:
    """Options of `mlp-jax bench trainers`."""

    points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="POINT ...")] = ()
    """points of the grid, such as 784-512-512-10@128 (default: the whole grid)"""
    precision: Annotated[str | None, tyro.conf.arg(metavar="float32|tf32|bf16")] = None
    """precision of the matrix products (default: that of the grid)"""
    quick: bool = False
    """use fewer rows and rounds: under ten minutes on two cores"""
    rounds: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """epochs to time per trainer; 0 for the default of 9, or 3 with --quick"""
    device: Annotated[str | None, tyro.conf.arg(metavar="cpu|gpu")] = None
    """cpu or gpu, for all trainers (default: the GPU if JAX sees one)"""
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """also write the results to this file"""
    plots: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """write a plot of the samples per second of every trainer to this folder"""


def trainers(words: list[str]) -> int:
    """Run `mlp-jax bench trainers`: measure, print the tables, and write the requested files."""
    about = (
        "Compare the samples per second of an epoch with scikit-learn, PyTorch, Flax and Equinox, "
        "at equal data, weights, order and precision. Trainers whose loss differs are not timed.\n"
        "\nInstall the other libraries with: pip install 'mlp-jax[bench]'"
        "\n\nExample: mlp-jax bench trainers --quick --plots ."
    )
    options: TrainersOptions = parse(
        TrainersOptions, "bench trainers", about, words, TrainersOptions()
    )
    if options.rounds < 0:
        raise InputError(f"The number of rounds must be at least 1, not {options.rounds}.")
    from mlp_jax.bench.trainers.run import run

    run(
        options.points,
        options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS),
        shlex.join(["mlp-jax", "bench", "trainers", *words]),
        precision=options.precision,
        quick=options.quick,
        device=options.device,
        json=None if options.json is None else Path(options.json),
        plots=None if options.plots is None else Path(options.plots),
    )
    return 0
