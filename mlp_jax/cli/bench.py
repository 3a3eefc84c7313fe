"""`mlp-jax bench WHAT`: measurements, each a subcommand."""

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
usage: mlp-jax bench WHAT [OPTIONS]

  gradients  the hand-written gradient against jax.grad: time, memory, compiling, accuracy
  trainers   a whole epoch against scikit-learn, PyTorch, Flax and Equinox

mlp-jax bench WHAT --help shows the options.  Example: mlp-jax bench gradients --json FILE.json
"""


@dataclass(frozen=True)
class GradientOptions:
    """Everything that `mlp-jax bench gradients` can be told."""

    full: bool = False
    """the whole grid of widths, depths, batch sizes, activations and precisions: hours"""
    width: tuple[int, ...] = ()
    """measure these widths, and only what is asked for on this and the next four lines"""
    depth: tuple[int, ...] = ()
    """numbers of hidden layers"""
    batch_size: tuple[int, ...] = ()
    """examples a batch"""
    activation: tuple[str, ...] = ()
    """activations by name"""
    precision: tuple[str, ...] = ()
    """float32, tf32 (GPU), bf16, float64"""
    repeats: int = 20
    """samples of each contender, of at least 20 ms each"""
    device: str | None = None
    """cpu or gpu; else what JAX takes"""
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """write the results to this file too"""
    plots: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """draw the ratio over size and the memory over depth into this folder"""


def gradients(words: list[str]) -> int:
    """`mlp-jax bench gradients`."""
    about = (
        "Measure the hand-written gradient against jax.grad, correctness first: nothing is\n"
        "timed that disagrees. Without options, two minutes on two cores.\n\n"
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
            f"A measurement takes at least {LEAST_REPEATS} repeats, not {options.repeats}."
        )
    axes = (
        options.width, options.depth, options.batch_size, options.activation, options.precision
    )  # fmt: skip
    if any(axes) and options.full:
        raise InputError("--full is the whole grid: give it, or the axes, not both.")
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
    """`mlp-jax bench`: finds the measurement."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if words else 2
    if words[0] not in BENCHMARKS:
        raise UnknownNameError("benchmark", words[0], BENCHMARKS)
    return BENCHMARKS[words[0]](words[1:])
