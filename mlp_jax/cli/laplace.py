"""`mlp-jax laplace`: fit a Laplace approximation to a trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class LaplaceOptions:
    """Options of `mlp-jax laplace`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder"""
    kind: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = "last-layer"
    """approximation: last-layer, or diagonal (over all weights)"""
    prior: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = None
    """criterion for the prior: validation or evidence (default: validation, given such rows)"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """new location of the run's data, if they were moved"""


def laplace(words: list[str]) -> int:
    """Run `mlp-jax laplace`: fit the approximation and print its file."""
    from mlp_jax.errors import InputError

    about = (
        "Fit a Laplace approximation of the weights' uncertainty to the training rows of a run.\n"
        "predict and evaluate use it with --uncertainty.\n\n"
        "Example: mlp-jax laplace runs/20260101-120000-digits"
    )
    options: LaplaceOptions = parse(LaplaceOptions, "laplace", about, words, LaplaceOptions())
    if not options.run:
        raise InputError("Name the run: mlp-jax laplace RUN")
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.training.run.uncertainty import fit_run

    use_compilation_cache()
    facts, path = fit_run(Path(options.run), options.kind, options.prior, options.data)
    print(
        f"{facts.kind}: {facts.n_weights:,} weights, {facts.n_rows:,} rows, prior precision"
        f" {facts.prior_precision:.4g} by {facts.prior}, noise {facts.noise_variance:.4g}, log"
        f" evidence {facts.log_evidence:.6g}"
    )
    print(f"laplace: {path}")
    return 0
