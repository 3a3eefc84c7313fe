"""`mlp-jax bench BENCHMARK`: benchmarks, each a subcommand."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.bench_trainers import trainers
from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError, UnknownNameError

USAGE = """\
usage: mlp-jax bench BENCHMARK [OPTIONS]

  gradients  compare the hand-written gradient with jax.grad: time, memory, compilation, accuracy
  trainers   compare an epoch of training with scikit-learn, PyTorch, Flax and Equinox

mlp-jax bench BENCHMARK --help shows the options.  Example: mlp-jax bench gradients --json FILE.json
"""


@dataclass(frozen=True)
class GradientOptions:
    """Options of `mlp-jax bench gradients`."""

    full: bool = False
    """measure the whole grid of widths, depths, batch sizes, activations and precisions (hours)"""
    width: tuple[int, ...] = ()
    """widths to measure; with one of these five options, only the given values are measured"""
    depth: tuple[int, ...] = ()
    """numbers of hidden layers to measure"""
    batch_size: tuple[int, ...] = ()
    """batch sizes to measure"""
    activation: tuple[str, ...] = ()
    """activations to measure"""
    precision: tuple[str, ...] = ()
    """precisions to measure: float32, tf32 (GPU), bf16, float64"""
    repeats: int = 20
    """samples per contender, of at least 20 ms each"""
    device: str | None = None
    """cpu or gpu (default: chosen by JAX)"""
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """also write the results to this file"""
    plots: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """write plots of the ratio by size and the memory by depth to this folder"""


def gradients(words: list[str]) -> int:
    """Run `mlp-jax bench gradients`."""
    about = (
        "Compare the hand-written gradient with jax.grad. Gradients that disagree are not timed.\n"
        "Without options it takes two minutes on two cores.\n\n"
        "Example: mlp-jax bench gradients --json gradients.json --plots ."
    )
    options: GradientOptions = parse(
        GradientOptions, "bench gradients", about, words, GradientOptions()
    )
    from mlp_jax.bench.gradients.grid import Grid, asked_points, memory_points, preset_points
    from mlp_jax.bench.gradients.measure import LEAST_REPEATS, Effort
    from mlp_jax.bench.gradients.run import run

    if options.repeats < LEAST_REPEATS:
        raise InputError(
            f"A measurement needs at least {LEAST_REPEATS} repeats, not {options.repeats}."
        )
    axes = (
        options.width, options.depth, options.batch_size, options.activation, options.precision
    )  # fmt: skip
    if any(axes) and options.full:
        raise InputError("--full measures the whole grid: leave it out to measure single values.")
    if any(axes):
        points, memory = asked_points(*axes), []
    else:
        points, memory = Grid().points() if options.full else preset_points(), memory_points()
    run(
        points,
        memory,
        shlex.join(["mlp-jax", "bench", "gradients", *words]),
        device=options.device,
        effort=Effort(options.repeats),
        json=None if options.json is None else Path(options.json),
        plots=None if options.plots is None else Path(options.plots),
    )
    return 0


BENCHMARKS: dict[str, Callable[[list[str]], int]] = {"gradients": gradients, "trainers": trainers}


def bench(words: list[str]) -> int:
    """Run `mlp-jax bench`: dispatch to the benchmark."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if words else 2
    if words[0] not in BENCHMARKS:
        raise UnknownNameError("benchmark", words[0], BENCHMARKS)
    return BENCHMARKS[words[0]](words[1:])
