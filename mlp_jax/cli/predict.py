"""`mlp-jax predict`: a saved model on a file of rows, of any size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class PredictOptions:
    """Everything that `mlp-jax predict` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder, or the model/ in it"""
    input: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = ""
    """rows: .csv, .tsv (or .gz of them), .parquet, .npy, .npz"""
    output: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = None
    """predictions: .csv, .tsv, .parquet; - or nothing prints CSV"""
    separator: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """of the fields of a text input; else found in its lines"""
    probabilities: bool = False
    """a column probability_CLASS for each class besides"""
    disagreement: bool = False
    """a column that says how much an ensemble's members disagree"""
    uncertainty: bool = False
    """predict with what mlp-jax laplace fitted, and a column that says how uncertain"""
    keep: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …")] = ()
    """columns of the input that go along, as an identifier"""
    overwrite: bool = False
    """replace the output if it exists"""


def predict(words: list[str]) -> int:
    """Writes the predictions, one line a row, in the order of the rows."""
    from mlp_jax.errors import InputError

    about = (
        "Predict every row of a file with a saved model. The file is read piece by piece, so\n"
        "it may be larger than memory; columns are found by name, others are left alone.\n\n"
        "Example: mlp-jax predict runs/20260101-120000-adult --input new.csv --output out.csv"
    )
    options: PredictOptions = parse(PredictOptions, "predict", about, words, PredictOptions())
    if not options.run or not options.input:
        raise InputError("Name the run and the rows: mlp-jax predict RUN --input FILE")
    from mlp_jax.data.tables.options import separator
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.model.saved import load_model
    from mlp_jax.model.stream import predict_file
    from mlp_jax.model.uncertain import load_laplace

    use_compilation_cache()
    output = None if options.output in (None, "-") else Path(str(options.output))
    rows = predict_file(
        load_laplace(options.run) if options.uncertainty else load_model(options.run),
        Path(options.input),
        output,
        probabilities=options.probabilities,
        disagreement=options.disagreement,
        uncertainty=options.uncertainty,
        keep=options.keep,
        overwrite=options.overwrite,
        separator=separator(options.separator),
    )
    if output is not None:
        print(f"{rows} rows predicted: {output}")
    return 0
