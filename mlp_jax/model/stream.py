"""A file of rows to a file of predictions, batch by batch: any size in constant memory."""

import sys
import uuid
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.files import as_run_folder_error
from mlp_jax.model.rows import features
from mlp_jax.model.saved import Model, label_indices
from mlp_jax.model.sources import Batch, batches


def predict_file(
    model: Model,
    source: Path,
    output: Path | None = None,
    *,
    probabilities: bool = False,
    disagreement: bool = False,
    keep: Sequence[str] = (),
    overwrite: bool = False,
) -> int:
    """Predict every row of `source`, in its order; the number of rows.

    output: a CSV, TSV or Parquet file by its suffix, whole or absent; None prints CSV. Its columns
    are those to `keep`, then "prediction" ("prediction_NAME" of several outputs), then with
    `probabilities` one "probability_CLASS" a class, with `disagreement` of an ensemble's members
    "disagreement".
    Raises InputError, DataFileError, and RunFolderError where the output cannot be written.
    """
    names = _column_names(model, probabilities, disagreement, keep)
    if output is None:
        return _write_csv(sys.stdout.buffer, _predicted(model, source, names, keep), ",")
    _check_output(output, overwrite)
    unfinished = output.with_name(f".{output.name}.{uuid.uuid4().hex}.tmp")
    frames = _predicted(model, source, names, keep)
    try:
        if output.suffix.lower() == ".parquet":
            rows = _write_parquet(output, unfinished, frames)
        else:
            with as_run_folder_error("write", output), unfinished.open("xb") as file:
                rows = _write_csv(file, frames, "\t" if output.suffix.lower() == ".tsv" else ",")
        with as_run_folder_error("write", output):
            unfinished.replace(output)
    finally:
        frames.close()
        unfinished.unlink(missing_ok=True)
    return rows


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"The output '{output}' must end in .csv, .tsv or .parquet.")
    if not output.parent.is_dir():
        raise RunFolderError(f"Cannot write '{output}': there is no folder '{output.parent}'.")
    if output.is_dir() or (output.exists() and not overwrite):
        raise RunFolderError(f"'{output}' exists already; --overwrite replaces it.")


def _column_names(
    model: Model, probabilities: bool, disagreement: bool, keep: Sequence[str]
) -> list[str]:
    """The names of the columns that the model gives; InputError where one is to be kept too."""
    one = model.target.task == "classification" or model.n_outputs == 1
    names = ["prediction"] if one else [f"prediction_{name}" for name in model.classes]
    if probabilities:
        if model.target.task == "regression":
            raise InputError("A regression predicts values; it has no probabilities.")
        names += [f"probability_{name}" for name in model.classes]
    if disagreement:
        model.disagreements(np.zeros((0, model.inputs.n_features)))
        names.append("disagreement")
    for place, name in enumerate(keep):
        if name in names or name in keep[:place]:
            raise InputError(f"The column '{name}' cannot be kept: the output would have it twice.")
    return names


def _predicted(
    model: Model, source: Path, names: Sequence[str], keep: Sequence[str]
) -> Generator[pl.DataFrame, None, None]:
    """The output's rows, a frame a batch."""
    labels = pl.Series(model.target.classes, dtype=pl.String)
    for batch in batches(source, model.inputs, keep):
        x = _features(model, batch, keep)
        found = model.predictions(x)
        if model.target.task == "classification":
            columns = [labels.gather(label_indices(found))]
        else:
            decided = model.decided(found)
            columns = [pl.Series(values) for values in decided.reshape(len(found), -1).T]
        disagreement = names[-1] == "disagreement"
        if len(names) - disagreement > len(columns):
            columns += [pl.Series(values) for values in model.probabilities(found).T]
        if disagreement:
            columns.append(pl.Series(model.disagreements(x)))
        frame = pl.DataFrame([c.alias(name) for c, name in zip(columns, names, strict=True)])
        yield batch.rows.select(keep).hstack(frame) if keep else frame


def _features(model: Model, batch: Batch, keep: Sequence[str]) -> np.ndarray:
    rows = batch.rows
    if keep and isinstance(model.inputs, ArrayEncoding) and not model.inputs.feature_names:
        rows = rows.drop(keep)
    return features(model.inputs, rows, first_row=batch.first_row)


def _write_csv(file: IO[bytes], frames: Iterator[pl.DataFrame], separator: str) -> int:
    rows = 0
    for frame in frames:
        file.write(frame.write_csv(include_header=rows == 0, separator=separator).encode())
        rows += len(frame)
    file.flush()
    return rows


def _write_parquet(output: Path, unfinished: Path, frames: Iterator[pl.DataFrame]) -> int:
    """Through polars' sink, which writes a row group as soon as it is full."""
    from polars.io.plugins import register_io_source

    first = next(frames)
    rows, failure = 0, []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        nonlocal rows
        frame: pl.DataFrame | None = first
        try:
            while frame is not None:
                rows += len(frame)
                yield frame
                frame = next(frames, None)
        except Exception as error:
            failure.append(error)
            raise

    try:
        register_io_source(source, schema=first.schema).sink_parquet(unfinished)
    except (pl.exceptions.PolarsError, OSError) as error:
        if failure:
            raise failure[0] from None
        reason = str(error).partition("\n")[0].rstrip(".")
        raise RunFolderError(f"Could not write {output}: {reason}.") from None
    return rows
