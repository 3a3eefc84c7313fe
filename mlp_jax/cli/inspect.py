"""`mlp-jax inspect`: what a trained network says of its layers and of single rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class InspectOptions:
    """Everything that `mlp-jax inspect` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder, or the model/ in it"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """rows with their targets, by name or as a file; else the run's own"""
    target: Annotated[
        tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …")
    ] = ()
    """the target in --data, or several; else as in training"""
    part: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART …")] = ("train",)
    """of the run's own rows: train, validation, test"""
    by: Annotated[str, tyro.conf.arg(metavar="RANKING")] = "loss"
    """what ranks the rows: loss, gradient_norm or influence"""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """rows to print"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where table and pictures go; else RUN/inspect"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where data sets by name lie"""


def inspect(words: list[str]) -> int:
    """Prints layers and suspects, and writes inspect.csv, inspect.json and the pictures."""
    from mlp_jax.errors import InputError

    about = (
        "Look into a trained network: how its layers do, and which rows trouble it most. Wrong\n"
        "labels come out on top, by loss, by the norm of a row's gradient, or by the harm that a\n"
        "row does to held-out ones. All rows go into inspect.csv; images are drawn.\n\n"
        "Example: mlp-jax inspect runs/20260101-120000-digits --by influence"
    )
    options: InspectOptions = parse(InspectOptions, "inspect", about, words, InspectOptions())
    if not options.run:
        raise InputError("Name the run to look into: mlp-jax inspect RUN")
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.reports.inspect.write import Wanted, inspect_model

    use_compilation_cache()
    wanted = Wanted(
        options.data,
        options.target,
        options.part,
        options.by,
        options.top,
        None if options.data_dir is None else Path(options.data_dir),
    )
    out = None if options.out is None else Path(options.out)
    folder = inspect_model(Path(options.run), wanted, out)
    print(f"all rows, facts and pictures: {folder}")
    return 0
