"""`mlp-jax evaluate`: a saved model on rows whose targets are known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse, write_text


@dataclass(frozen=True)
class EvaluateOptions:
    """Everything that `mlp-jax evaluate` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder, or the model/ in it"""
    data: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = ""
    """rows with their targets, by name or as a file, as for train"""
    target: Annotated[
        tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …")
    ] = ()
    """the column that is predicted, or several; else as in training"""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="NAME …")] = ()
    """what to measure; else all that suits the task"""
    separator: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """of a text file's fields; else found in its lines"""
    uncertainty: bool = False
    """judge what it predicts with what mlp-jax laplace fitted"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where data sets by name lie"""
    json: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = None
    """write the metrics to this file too"""


def evaluate(words: list[str]) -> int:
    """Prints the metrics beside those of the run's own test rows."""
    from mlp_jax.errors import InputError

    about = (
        "Measure a saved model on rows whose targets are known: a data set's own test rows\n"
        "where it has some, else all of them.\n\n"
        "Example: mlp-jax evaluate runs/20260101-120000-adult --data more.csv"
    )
    options: EvaluateOptions = parse(EvaluateOptions, "evaluate", about, words, EvaluateOptions())
    if not options.run or not options.data:
        raise InputError("Name the run and the data: mlp-jax evaluate RUN --data DATA")
    from mlp_jax.data.tables.options import separator
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.model.evaluation import judge, metrics_json, metrics_table
    from mlp_jax.model.metrics import undefined
    from mlp_jax.model.saved import load_model
    from mlp_jax.model.uncertain import load_laplace

    use_compilation_cache()
    model = load_laplace(options.run) if options.uncertainty else load_model(options.run)
    found = judge(
        model,
        options.data,
        targets=options.target,
        names=options.metrics,
        data_dir=None if options.data_dir is None else Path(options.data_dir),
        separator=separator(options.separator),
    )
    print(metrics_table(found, model.metrics))
    for sentence in undefined(found, "these rows"):
        print(sentence)
    if options.json is not None:
        write_text(Path(options.json), metrics_json(found))
    return 0
