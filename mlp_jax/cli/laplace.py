"""`mlp-jax laplace`: how uncertain a trained model's weights are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class LaplaceOptions:
    """Everything that `mlp-jax laplace` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder"""
    kind: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = "last-layer"
    """last-layer, or diagonal (over all weights)"""
    prior: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = None
    """how wide: as validation rows bear out (where there are any), or as the evidence says"""
    data: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = None
    """where the run's data are now; else where they were"""


def laplace(words: list[str]) -> int:
    """Fits the approximation and says where it is."""
    from mlp_jax.errors import InputError

    about = (
        "Fit a Laplace approximation to the rows that a run was trained on: how far its weights\n"
        "could be elsewhere and explain them as well. predict and evaluate take it with\n"
        "--uncertainty.\n\n"
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
