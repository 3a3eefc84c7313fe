"""Rows to inspect, by their numbers in the user's data.

Rows count from 0, without a header. Letters: N rows, I features, C outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import Split
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.splits import TEST, TRAIN, VALIDATION
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError, RunFolderError, UnknownNameError
from mlp_jax.model.judged_rows import labelled_rows
from mlp_jax.model.rows import load_for
from mlp_jax.model.saved import Model
from mlp_jax.reports.gather import network_rows
from mlp_jax.training.run.config import CONFIG_FILE, TrainConfig, run_config
from mlp_jax.training.run.data import prepared, source
from mlp_jax.training.run.folder import METADATA_FILE, read_metadata
from mlp_jax.training.run.metadata import digest

PARTS = ("train", "validation", "test")
GIVEN = "given"


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one part: x (N, I) as the network takes it, y in the model's terms.

    numbers (N,): their row numbers in the data.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Inspected:
    """The inspected parts, and the reference for influence.

    reference: None measures each row on the other inspected rows. data: their source, as given.
    """

    parts: tuple[Part, ...]
    reference: Part | None
    data: str


def rows_of_run(
    folder: Path, model: Model, parts: Sequence[str], data_dir: Path | None = None
) -> Inspected:
    """Return the rows that a run was made with; influence is on its validation rows.

    Without those, on its test rows. RunFolderError if the folder is a model without a run,
    InputError for a missing part, changed data, or a private run.
    """
    for name in parts:
        if name not in PARTS:
            raise UnknownNameError("part", name, PARTS)
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(
            f"{folder} has a model but not its run, so give the rows to inspect: mlp-jax inspect"
            f" {folder} --data DATA"
        )
    config = run_config(folder)
    refuse_private(config)
    if data_dir is not None:
        config = replace(config, data_dir=str(data_dir))
    if config.stream:
        raise InputError(
            "This run's training rows are streamed and cannot be inspected. Inspect other rows with"
            " --data."
        )
    table = source(config)
    data = prepared(config, (model.inputs, model.target), table)
    facts = read_metadata(folder) if (folder / METADATA_FILE).exists() else {}
    if facts.get("digest", digest(data)) != digest(data):
        raise InputError(
            f"'{config.data}' is not the data of this run: its rows have changed. To"
            f" inspect the current rows, use --data {config.data}"
        )
    found = {
        name: Part(name, network_rows(model, split.x), np.asarray(split.y), numbers)
        for name, split, numbers in _numbered(data, table)
    }
    absent = next((name for name in parts if name not in found), None)
    if absent is not None:
        raise InputError(f"This run has no {absent} rows; it has {' and '.join(found)} rows.")
    reference = found.get("validation") or found.get("test")
    chosen = tuple(found[name] for name in dict.fromkeys(parts))
    return Inspected(chosen, reference, config.data)


def refuse_private(config: TrainConfig) -> None:
    """Raise InputError for a private run, which must hide the effect of single rows."""
    if config.private:
        raise InputError(
            "This run is private: a ranking of its training rows would reveal what private training"
            " hides. Inspect other rows with --data."
        )


def rows_given(
    model: Model, data: str, targets: Sequence[str] = (), data_dir: Path | None = None
) -> Inspected:
    """Return rows with targets by name or file; of a data set its test rows, if any."""
    table = load_for(model.inputs, model.target, data, targets, data_dir)
    x, y, numbers = labelled_rows(model.inputs, model.target, table, new=True)
    own_test = table.test is not None
    part = Part("test" if own_test else GIVEN, x, y, numbers)
    return Inspected((part,), None, data)


def _numbered(data: Prepared, table: object) -> list[tuple[str, Split, np.ndarray]]:
    """Iterate over (name, rows, their numbers) of every part."""
    found = []
    for name, code in zip(PARTS, (TRAIN, VALIDATION, TEST), strict=True):
        split = getattr(data, name)
        if split is None:
            continue
        numbers = np.flatnonzero(data.part == code)
        if name == "test" and data.test_rows is None:
            numbers = _labelled_test_rows(data, table)
        found.append((name, split, numbers))
    return found


def _labelled_test_rows(data: Prepared, table: object) -> np.ndarray:
    """Return the numbers of the data's own test rows: in a table those with a target."""
    assert data.test is not None
    if not isinstance(table, Table) or table.test is None:
        return np.arange(len(data.test))
    from mlp_jax.data.tables.split import labelled_rows as with_label

    return np.flatnonzero(with_label(table.test, data.target).to_numpy())
