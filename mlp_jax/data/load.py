"""Loading of a name, file or address as a Dataset or a Table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.idx import read_folder
from mlp_jax.data.npz import read_npz
from mlp_jax.data.sources import address, hub, openml
from mlp_jax.data.sources.catalog import ALIASES, ENTRIES
from mlp_jax.data.table import Kind, Table
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".npy")
FILE_SUFFIXES = (*TABLE_SUFFIXES, ".npz")
FORMS = (
    "idx:FOLDER",
    "FILE.csv",
    "FILE.parquet",
    "FILE.npz",
    "openml:NAME",
    "hf:NAME",
    "https://…",
)
_NO_KINDS: Mapping[str, Kind] = MappingProxyType({})


def load(
    spec: str,
    *,
    task: str = "auto",
    targets: Sequence[str] = (),
    data_dir: str | os.PathLike[str] | None = None,
    kinds: Mapping[str, Kind] = _NO_KINDS,
    drop: Sequence[str] = (),
    header: bool = True,
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> Dataset | Table:
    """Load a set of the catalog by name, a file, an IDX folder, openml:, hf: or an address.

    Args:
        spec: the name, path or address.
        task: "auto", "classification" or "regression".
        targets: target columns of a table, by name or index; overrides those of a named table.
        data_dir: folder of named sets and downloads (default: MLP_JAX_DATA, or the user's data
            directory).
        kinds: kinds of columns of a table.
        drop: columns of a table to leave out.
        header: the first line of a CSV names its columns.
        text: format of a CSV.

    Returns:
        A Table for sets with columns, a Dataset for arrays.

    Raises:
        UnknownNameError: for an unknown name, task or column.
        DataFileError: for a file that is missing or damaged.
        InputError: for data that cannot be used.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)

    def read(path: Path) -> Dataset | Table:
        return _read_file(path, task, targets, kinds, drop, header, text)

    def read_table(path: Path) -> Table:
        return _read_table(path, task, targets, kinds, drop, header, text)

    name = ALIASES.get(spec, spec)
    if name in ENTRIES:
        return _as_asked(ENTRIES[name].load(data_dir), task, targets, kinds, drop)
    if spec.startswith("idx:"):
        folder = Path(spec.removeprefix("idx:")).expanduser()
        return _as_asked(read_folder(folder), task, targets, kinds, drop)
    if spec.startswith(openml.PREFIX):
        return _as_asked(openml.load_openml(spec, data_dir), task, targets, kinds, drop)
    if spec.startswith(hub.PREFIX):
        return hub.load_hub(spec, read_table, data_dir)
    if spec.startswith(address.PREFIXES):
        return address.load_address(spec, read, FILE_SUFFIXES, data_dir)
    path = Path(spec).expanduser()
    if path.is_dir():
        _hint_at_streams(path)
        return _as_asked(read_folder(path), task, targets, kinds, drop)
    if path.is_file() or spec.lower().endswith(FILE_SUFFIXES):
        return read(path)
    raise UnknownNameError("data set", spec, (*ENTRIES, *FORMS))


def _hint_at_streams(folder: Path) -> None:
    """Raise InputError for a folder of row files, which only --stream reads."""
    if any(folder.glob("*.parquet")) or any(folder.glob("x*.npy")):
        raise InputError(
            f"'{folder}' holds rows in several files: read them with mlp-jax train --stream."
        )


def _read_file(
    path: Path,
    task: str,
    targets: Sequence[str],
    kinds: Mapping[str, Kind],
    drop: Sequence[str],
    header: bool,
    text: TextOptions,
) -> Dataset | Table:
    name = path.name.lower()
    if not name.endswith(FILE_SUFFIXES):
        raise InputError(f"'{path}' must end in one of {', '.join(FILE_SUFFIXES)}.")
    if not path.is_file():
        raise DataFileError(f"There is no file '{path}'.")
    if name.endswith(".npz"):
        refuse_columns(path.name, targets, kinds, drop)
        return read_npz(path, task=task)
    return _read_table(path, task, targets, kinds, drop, header, text)


def _read_table(
    path: Path,
    task: str,
    targets: Sequence[str],
    kinds: Mapping[str, Kind],
    drop: Sequence[str],
    header: bool,
    text: TextOptions,
) -> Table:
    from mlp_jax.data.tables.read import read_table

    return read_table(
        path, targets=targets, task=task, kinds=kinds, drop=drop, header=header, text=text
    )


def _as_asked(
    source: Dataset | Table,
    task: str,
    targets: Sequence[str],
    kinds: Mapping[str, Kind],
    drop: Sequence[str],
) -> Dataset | Table:
    """Apply the requested task and columns to a set with a known target."""
    if isinstance(source, Dataset):
        refuse_columns(source.name, targets, kinds, drop)
        if task == "regression" and source.is_classification:
            raise InputError(f"'{source.name}' holds classes, so it cannot be used for regression.")
        return source
    known = source.frame.columns
    for column in (*kinds, *drop):
        if column not in known:
            raise UnknownNameError("column", column, known)
    chosen = tuple(_column(source.name, target, known) for target in targets)
    found = chosen or source.targets
    if not found:
        raise InputError(f"'{source.name}' has no default target: name a column with --target.")
    both = [column for column in found if column in drop]
    if both:
        raise InputError(f"Column '{both[0]}' is the target, so it cannot be dropped.")
    own_task = "auto" if chosen and chosen != source.targets else source.task
    return replace(
        source,
        frame=source.frame.drop(drop),
        targets=found,
        kinds={k: v for k, v in {**source.kinds, **kinds}.items() if k not in drop},
        task=own_task if task == "auto" else task,
    )


def _column(name: str, target: str, columns: Sequence[str]) -> str:
    from mlp_jax.data.tables.read import find_column

    return find_column(Path(name), target, columns)


def refuse_columns(
    name: str, targets: Sequence[str], kinds: Mapping[str, str], drop: Sequence[str]
) -> None:
    """Raise InputError for options of tables with a source of arrays."""
    named = {kind: [n for n, k in kinds.items() if k == kind] for kind in kinds.values()}
    for option, value in (("target", targets), *named.items(), ("drop", drop)):
        if value:
            raise InputError(
                f"'{name}' holds arrays with separate targets and no named columns:"
                f" --{option} is for tables."
            )
