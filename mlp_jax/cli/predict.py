"""`mlp-jax predict`: predict the rows of a file with a saved model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class PredictOptions:
    """Options of `mlp-jax predict`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder, or its model/"""
    input: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = ""
    """file of rows: .csv, .tsv (also .gz), .parquet, .npy, .npz"""
    output: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = None
    """file to write: .csv, .tsv, .parquet; - for standard output (default: -)"""
    separator: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """field separator of a text file (default: detected)"""
    probabilities: bool = False
    """add a column probability_CLASS for each class"""
    disagreement: bool = False
    """add a column with the disagreement of the members of an ensemble"""
    uncertainty: bool = False
    """average over the weights' uncertainty (mlp-jax laplace), and add a column uncertainty"""
    copy_columns: Annotated[
        tuple[str, ...],
        tyro.conf.arg(help_behavior_hint="", metavar="COLUMN …", aliases=("--keep",)),
    ] = ()
    """columns of the input to copy to the output, such as an identifier"""
    overwrite: bool = False
    """replace an existing output file"""


def predict(words: list[str]) -> int:
    """Run `mlp-jax predict`: write the predictions, one line per row, in order."""
    from mlp_jax.errors import InputError

    about = (
        "Predict every row of a file with a saved model. The file is read in chunks, so it may\n"
        "be larger than memory. Columns are found by name, and others are ignored.\n\n"
        "Example: mlp-jax predict runs/20260101-120000-adult --input new.csv --output out.csv"
    )
    options: PredictOptions = parse(PredictOptions, "predict", about, words, PredictOptions())
    if not options.run or not options.input:
        raise InputError("Name the run and the rows: mlp-jax predict RUN --input FILE")
    from mlp_jax.data.tables.options import separator
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.model.model_folder import load_model
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
        keep=options.copy_columns,
        overwrite=options.overwrite,
        separator=separator(options.separator),
    )
    if output is not None:
        print(f"{rows} rows predicted: {output}")
    return 0
