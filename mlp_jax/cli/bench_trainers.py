"""`mlp-jax bench trainers`: an epoch of training, against what people use."""

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
    """Everything that `mlp-jax bench trainers` can be told."""

    points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="POINT ...")] = ()
    """points of the grid by name, such as 784-512-512-10@128; without, the whole grid"""
    precision: Annotated[str | None, tyro.conf.arg(metavar="float32|tf32|bf16")] = None
    """of the products, in place of what the grid has"""
    quick: bool = False
    """fewer rows where an epoch is long, and few rounds: under ten minutes on two cores"""
    rounds: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """epochs that are timed of each trainer; 0: 9, or 3 with --quick"""
    device: Annotated[str | None, tyro.conf.arg(metavar="cpu|gpu")] = None
    """where all trainers compute; else on the GPU where JAX sees one"""
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """write the results to this file too"""
    plots: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """draw samples a second of every trainer into this folder"""


def trainers(words: list[str]) -> int:
    """Measures, prints the tables, writes what was asked for."""
    about = (
        "A whole epoch of training in samples a second, against scikit-learn, PyTorch, Flax and "
        "Equinox: equal data, weights, order and precision; nothing is timed whose loss differs.\n"
        "\nThe contenders come with: pip install 'mlp-jax[bench]'"
        "\n\nExample: mlp-jax bench trainers --quick --plots ."
    )
    options: TrainersOptions = parse(
        TrainersOptions, "bench trainers", about, words, TrainersOptions()
    )
    if options.rounds < 0:
        raise InputError(f"The number of rounds is at least 1, not {options.rounds}.")
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
