"""`mlp-jax bench trainers`: an epoch of training, against what people use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError, RunFolderError

FULL_ROUNDS, QUICK_ROUNDS = 9, 3


@dataclass(frozen=True)
class TrainersOptions:
    """Everything that `mlp-jax bench trainers` can be told."""

    points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="POINT ...")] = ()
    """points of the grid by name, such as 784-512-512-10@128; without, the whole grid"""
    quick: bool = False
    """at most 100 batches an epoch and few rounds: under five minutes on two cores"""
    rounds: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """epochs that are timed of each trainer; 0: 9, or 3 with --quick"""
    json: Annotated[str, tyro.conf.arg(metavar="FILE.json")] = ""
    """write all figures here"""
    plots: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = ""
    """draw samples a second of every trainer here"""


def trainers(words: list[str]) -> int:
    """Measures, prints the tables, writes what was asked for."""
    about = (
        "A whole epoch of training in samples a second, against scikit-learn, PyTorch, Flax and "
        "Equinox: equal data, weights, order and precision; nothing is timed whose loss differs.\n"
        "\nThe contenders come with: pip install 'mlp-jax[bench]'"
        "\n\nExample: mlp-jax bench trainers --quick --plots trainers.png"
    )
    options: TrainersOptions = parse(
        TrainersOptions, "bench trainers", about, words, TrainersOptions()
    )
    if options.rounds < 0:
        raise InputError(f"The number of rounds is at least 1, not {options.rounds}.")
    for name, ending in ((options.json, ".json"), (options.plots, ".png")):
        if name and not name.endswith(ending):
            raise InputError(f"The name of the file ends with {ending}, not as in '{name}'.")
        if name and not Path(name).parent.is_dir():
            raise RunFolderError(f"Cannot write {name}: there is no folder {Path(name).parent}.")
    _measure(options, words)
    return 0


def _measure(options: TrainersOptions, words: list[str]) -> None:
    import shlex

    from mlp_jax.bench.grid import choose_points
    from mlp_jax.bench.machine import sees_gpu
    from mlp_jax.bench.trainers import bench_trainers
    from mlp_jax.bench.trainers_report import draw_result, print_result
    from mlp_jax.files import write_json_atomic

    points = choose_points(options.points, sees_gpu())
    if options.quick:
        points = tuple(point.quick() for point in points)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    result = {
        "command": shlex.join(["mlp-jax", "bench", "trainers", *words]),
        **bench_trainers(points, rounds, lambda text: print(text, flush=True)),
    }
    print_result(result)
    if options.json:
        write_json_atomic(options.json, result)
        print(f"figures: {options.json}")
    if options.plots:
        draw_result(result, options.plots)
        print(f"picture: {options.plots}")
