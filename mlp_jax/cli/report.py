"""`mlp-jax report`: one HTML page about a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class ReportOptions:
    """Everything that `mlp-jax report` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder"""
    output: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE.html")] = None
    """the page; else RUN/report/report.html"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """where the run's data are now; else where they were"""


def report(words: list[str]) -> int:
    """Writes the page."""
    from mlp_jax.errors import InputError

    about = (
        "One self-contained HTML page about a run: the proof, the curves, confusion matrix,\n"
        "calibration, what the first layer sees, worst mistakes with their inputs, gradient\n"
        "flow, and how to run it again. It asks for nothing from the network.\n\n"
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
