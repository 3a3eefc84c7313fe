"""`mlp-jax inspect`: layer diagnostics and suspicious rows of a trained network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class InspectOptions:
    """Options of `mlp-jax inspect`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder, or its model/"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """rows with targets: name of a data set or file (default: rows of the run)"""
    target: Annotated[
        tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …")
    ] = ()
    """target columns of --data (default: as in training)"""
    part: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART …")] = ("train",)
    """splits of the run's rows to inspect: train, validation, test"""
    by: Annotated[str, tyro.conf.arg(metavar="RANKING")] = "loss"
    """ranking of the rows: loss, gradient_norm or influence"""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """number of rows to print"""
    output: Annotated[
        str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER", aliases=("--out",))
    ] = None
    """folder of the table and the plots (default: RUN/inspect)"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """folder of the named data sets (default: $MLP_JAX_DATA)"""


def inspect(words: list[str]) -> int:
    """Run `mlp-jax inspect`: print layers and rows; write inspect.csv, inspect.json and plots."""
    from mlp_jax.errors import InputError

    about = (
        "Inspect a trained network: diagnostics of its layers, and rows with suspicious labels,\n"
        "ranked by loss, by gradient norm, or by their harm to held-out rows (influence). All\n"
        "rows are written to inspect.csv; images are drawn.\n\n"
        "Example: mlp-jax inspect runs/20260101-120000-digits --by influence"
    )
    options: InspectOptions = parse(InspectOptions, "inspect", about, words, InspectOptions())
    if not options.run:
        raise InputError("Name the run to inspect: mlp-jax inspect RUN")
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.reports.inspect.write import Wanted, inspect_model

    use_compilation_cache()
    wanted = Wanted(
        data=options.data,
        targets=options.target,
        parts=options.part,
        by=options.by,
        top=options.top,
        data_dir=None if options.data_dir is None else Path(options.data_dir),
    )
    output = None if options.output is None else Path(options.output)
    folder = inspect_model(Path(options.run), wanted, output)
    print(f"inspection: {folder}")
    return 0
