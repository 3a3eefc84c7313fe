"""The rows that are inspected, by the numbers that their owner knows them by.

Rows count from 0, without a header, as everywhere. Letters: N rows, I features, C outputs.
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
from mlp_jax.training.run.folder import FACTS_FILE, read_facts
from mlp_jax.training.run.metadata import digest

PARTS = ("train", "validation", "test")
GIVEN = "given"


@dataclass(frozen=True, eq=False)
class Part:
    """Rows that go together: x (N, I) as the network takes it, y in the model's terms.

    numbers (N,): which rows of the data they are.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Inspected:
    """The parts that are looked at, and the one that influence is measured on.

    reference: None for the rows that are looked at, each measured on the others. data: what the
    rows come from, as the user wrote it.
    """

    parts: tuple[Part, ...]
    reference: Part | None
    data: str


def rows_of_run(
    folder: Path, model: Model, parts: Sequence[str], data_dir: Path | None = None
) -> Inspected:
    """Parts of the rows that a run was made with; influence is on its validation rows.

    Without those, on its test rows. RunFolderError where the folder is a model by itself,
    InputError for a part that is not there, data that have changed, or a private run.
    """
    for name in parts:
        if name not in PARTS:
            raise UnknownNameError("part", name, PARTS)
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(
            f"{folder} holds a model but not the run that made it; say which rows to look at:"
            f" mlp-jax inspect {folder} --data DATA"
        )
    config = run_config(folder)
    refuse_private(config)
    if data_dir is not None:
        config = replace(config, data_dir=str(data_dir))
    if config.stream:
        raise InputError(
            "This run's training rows stream, so they are not looked at one by one. Other rows can"
            " be looked at with --data."
        )
    table = source(config)
    data = prepared(config, (model.inputs, model.target), table)
    facts = read_facts(folder) if (folder / FACTS_FILE).exists() else {}
    if facts.get("digest", digest(data)) != digest(data):
        raise InputError(
            f"'{config.data}' is not what this run was trained on: its rows are not the same. To"
            f" look at the rows as they are now: --data {config.data}"
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
    """InputError for a private run: what single training rows do to it is what it must not tell."""
    if config.private:
        raise InputError(
            "This run is private: to rank its training rows would tell about each of them what the"
            " training took care to hide. Other rows can be looked at with --data."
        )


def rows_given(
    model: Model, data: str, targets: Sequence[str] = (), data_dir: Path | None = None
) -> Inspected:
    """Rows with their targets by name or file, a data set's own test rows where it has some."""
    table = load_for(model.inputs, model.target, data, targets, data_dir)
    x, y, numbers = labelled_rows(model.inputs, model.target, table, new=True)
    own_test = table.test is not None
    part = Part("test" if own_test else GIVEN, x, y, numbers)
    return Inspected((part,), None, data)


def _numbered(data: Prepared, table: object) -> list[tuple[str, Split, np.ndarray]]:
    """(name, rows, their numbers) of every part that there is."""
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
    """The numbers of test rows of the data's own: those of a table that have their target."""
    assert data.test is not None
    if not isinstance(table, Table) or table.test is None:
        return np.arange(len(data.test))
    from mlp_jax.data.tables.split import labelled_rows as with_label

    return np.flatnonzero(with_label(table.test, data.target).to_numpy())
