"""Prediction from file to file, batch by batch, in constant memory."""

import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.tables.notes import UnseenCategories
from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.files import as_run_folder_error
from mlp_jax.model.judged_rows import warn_of_unseen
from mlp_jax.model.rows import features
from mlp_jax.model.saved import Model, label_indices
from mlp_jax.model.sources import batches
from mlp_jax.model.uncertain import LaplaceModel


def predict_file(
    model: Model,
    source: Path,
    output: Path | None = None,
    *,
    probabilities: bool = False,
    disagreement: bool = False,
    uncertainty: bool = False,
    keep: Sequence[str] = (),
    overwrite: bool = False,
    separator: str | None = None,
) -> int:
    """Predict every row of `source`, in order, and return the number of rows.

    The columns are those to `keep`, then "prediction" ("prediction_NAME" for several outputs), then
    the requested ones of "probability_CLASS", "disagreement" and "uncertainty"
    ("uncertainty_NAME"). A DataWarning reports unseen categories.

    Args:
        output: a CSV, TSV or Parquet file by its suffix, written atomically; None prints CSV.
        separator: of a text file's fields (default: detected).

    Raises:
        InputError: for what the model cannot predict, or a missing column.
        DataFileError: for a source that is missing or damaged.
        RunFolderError: if the output cannot be written.
    """
    blocks = _blocks(model, probabilities, disagreement, uncertainty)
    _check_kept([name for block in blocks for name in block.names], keep)
    unseen = UnseenCategories()
    frames = _predicted(model, source, blocks, keep, separator, unseen)
    if output is None:
        rows = _write_csv(sys.stdout.buffer, frames, ",")
        warn_of_unseen(unseen)
        return rows
    _check_output(output, overwrite)
    unfinished = output.with_name(f".{output.name}.{uuid.uuid4().hex}.tmp")
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
    warn_of_unseen(unseen)
    return rows


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"The output '{output}' must end in .csv, .tsv or .parquet.")
    if not output.parent.is_dir():
        raise RunFolderError(f"Cannot write '{output}': there is no folder '{output.parent}'.")
    if output.is_dir() or (output.exists() and not overwrite):
        raise RunFolderError(f"'{output}' exists already; --overwrite replaces it.")


class OutputColumns(NamedTuple):
    """A group of output columns.

    names: their names. values: a function of encoded rows and predictions that returns the columns.
    """

    names: list[str]
    values: Callable[[np.ndarray, np.ndarray], list[pl.Series]]


def _blocks(
    model: Model, probabilities: bool, disagreement: bool, uncertainty: bool
) -> list[OutputColumns]:
    """Return the requested columns; InputError for those that the model does not have."""
    labels = pl.Series(model.target.classes, dtype=pl.String)

    def decided(_: np.ndarray, found: np.ndarray) -> list[pl.Series]:
        if model.target.task == "classification":
            return [labels.gather(label_indices(found))]
        return _series(model.decided(found))

    one = model.target.task == "classification" or model.n_outputs == 1
    endings = [""] if one else [f"_{name}" for name in model.classes]
    blocks = [OutputColumns([f"prediction{ending}" for ending in endings], decided)]
    if probabilities:
        if model.target.task == "regression":
            raise InputError("A regression predicts values; it has no probabilities.")
        names = [f"probability_{name}" for name in model.classes]
        blocks.append(OutputColumns(names, lambda _, found: _series(model.probabilities(found))))
    if disagreement:
        model.disagreements(np.zeros((0, model.inputs.n_features)))
        blocks.append(OutputColumns(["disagreement"], lambda x, _: _series(model.disagreements(x))))
    if uncertainty:
        if not isinstance(model, LaplaceModel):
            raise InputError(
                "Uncertainty needs a model with a Laplace approximation, which load_laplace loads."
            )
        names = [f"uncertainty{ending}" for ending in endings]
        blocks.append(OutputColumns(names, lambda x, _: _series(model.uncertainties(x))))
    return blocks


def _series(values: np.ndarray) -> list[pl.Series]:
    """Return the columns of an array (N, C), or the one of (N,)."""
    return [pl.Series(column) for column in values.reshape(len(values), -1).T]


def _check_kept(names: Sequence[str], keep: Sequence[str]) -> None:
    """Raise InputError if a kept column would occur twice in the output."""
    for place, name in enumerate(keep):
        if name in names or name in keep[:place]:
            raise InputError(
                f"The column '{name}' cannot be kept: it would occur twice in the output."
            )


def _predicted(
    model: Model,
    source: Path,
    blocks: Sequence[OutputColumns],
    keep: Sequence[str],
    separator: str | None,
    unseen: UnseenCategories,
) -> Generator[pl.DataFrame, None, None]:
    """Iterate over the output's rows, one frame per batch."""
    for batch in batches(source, model.inputs, keep, separator):
        x = features(model.inputs, batch.rows, first_row=batch.first_row, unseen=unseen)
        found = model.predictions(x)
        columns = [
            column.alias(name)
            for block in blocks
            for name, column in zip(block.names, block.values(x, found), strict=True)
        ]
        frame = pl.DataFrame(columns)
        yield batch.kept.hstack(frame) if keep and batch.kept is not None else frame


def _write_csv(file: IO[bytes], frames: Iterator[pl.DataFrame], separator: str) -> int:
    rows = 0
    for frame in frames:
        file.write(frame.write_csv(include_header=rows == 0, separator=separator).encode())
        rows += len(frame)
    file.flush()
    return rows


def _write_parquet(output: Path, unfinished: Path, frames: Iterator[pl.DataFrame]) -> int:
    """Write by polars' sink, which writes each row group once it is full."""
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
