"""`mlp-jax evaluate`: evaluate a saved model on rows with targets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse, write_text


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `mlp-jax evaluate`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder, or its model/"""
    data: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = ""
    """rows with targets: name of a data set or file, as for train"""
    target: Annotated[
        tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …")
    ] = ()
    """target columns (default: as in training)"""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="NAME …")] = ()
    """metrics to compute (default: those of the task)"""
    separator: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """field separator of a text file (default: detected)"""
    uncertainty: bool = False
    """average the predictions over the weights' uncertainty, as fitted by mlp-jax laplace"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """folder of the named data sets (default: $MLP_JAX_DATA)"""
    json: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = None
    """also write the metrics to this file"""


def evaluate(words: list[str]) -> int:
    """Run `mlp-jax evaluate`: print the metrics beside those of the run's test rows."""
    from mlp_jax.errors import InputError

    about = (
        "Evaluate a saved model on rows with targets: the test rows of a data set that has\n"
        "some, otherwise all rows.\n\n"
        "Example: mlp-jax evaluate runs/20260101-120000-adult --data more.csv"
    )
    options: EvaluateOptions = parse(EvaluateOptions, "evaluate", about, words, EvaluateOptions())
    if not options.run or not options.data:
        raise InputError("Name the run and the data: mlp-jax evaluate RUN --data DATA")
    from mlp_jax.data.tables.options import separator
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.model.evaluation import judge, metrics_json, metrics_table
    from mlp_jax.model.metrics import undefined
    from mlp_jax.model.model_folder import load_model
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
        write_text(options.json, metrics_json(found))
    return 0
