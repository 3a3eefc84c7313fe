"""`mlp-jax report`: HTML report of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class ReportOptions:
    """Options of `mlp-jax report`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder"""
    output: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE.html")] = None
    """page to write (default: RUN/report/report.html)"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """new location of the run's data, if they were moved"""


def report(words: list[str]) -> int:
    """Run `mlp-jax report`: write the page."""
    from mlp_jax.errors import InputError

    about = (
        "Write a self-contained HTML page about a run: gradient check, curves, confusion matrix,\n"
        "calibration, first-layer weights, worst mistakes with their inputs, gradient flow, and\n"
        "the command to repeat it. It loads nothing from the internet.\n\n"
        "Example: mlp-jax report runs/20260101-120000-digits --output digits.html"
    )
    options: ReportOptions = parse(ReportOptions, "report", about, words, ReportOptions())
    if not options.run:
        raise InputError("Name the run to report on: mlp-jax report RUN")
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.reports.write import write_report

    use_compilation_cache()
    output = None if options.output is None else Path(options.output)
    path, missing = write_report(Path(options.run), output, options.data)
    for sentence in missing:
        print(sentence)
    print(f"report: {path}")
    return 0
