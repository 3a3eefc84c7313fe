"""A table from the Hugging Face hub, through its own client (the extra `hub`)."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.table import Table
from mlp_jax.errors import DataFileError, InputError

PREFIX = "hf:"
_KINDS = (".parquet", ".csv", ".csv.gz", ".tsv")
_TEST_WORDS = ("test",)
_OTHER_WORDS = ("validation", "valid", "dev", "eval")


def load_hub(
    spec: str,
    read: Callable[[Path], Table],
    data_dir: str | os.PathLike[str] | None = None,
) -> Table:
    """'hf:NAME', or 'hf:NAME:FOLDER' for one of several tables, read from its Parquet or CSV files.

    Files with "test" in their name are the test rows, those for validation are left aside, all
    others the training rows. Raises InputError where the client is not installed or several
    tables could be meant, DataFileError where the hub does not give them.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            f"'{spec}' needs the client of the Hugging Face hub: pip install 'mlp-jax[hub]'."
        ) from None
    name, _, part = spec.removeprefix(PREFIX).partition(":")
    cache = data_folder(data_dir) / "huggingface"
    try:
        files = huggingface_hub.HfApi().list_repo_files(name, repo_type="dataset")
        train, test = _choose(spec, sorted(files), part)
        train_paths, test_paths = (
            [
                Path(huggingface_hub.hf_hub_download(name, f, repo_type="dataset", cache_dir=cache))
                for f in chosen
            ]
            for chosen in (train, test)
        )
    except (InputError, DataFileError):
        raise
    except Exception as error:  # the client lets through what the libraries below it raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataFileError(
            f"'{spec}' could not be downloaded from the Hugging Face hub ({reason}): without a"
            " network, give the table as a file."
        ) from None
    table = _together([read(path) for path in train_paths])
    if test_paths:
        table = replace(table, test=_together([read(path) for path in test_paths]).frame)
    return replace(table, name=name.rpartition("/")[2])


def _choose(spec: str, files: list[str], part: str) -> tuple[list[str], list[str]]:
    """The files of the training rows and of the test rows, of one kind and one folder."""
    kind = next((k for k in _KINDS if any(f.endswith(k) for f in files)), None)
    if kind is None:
        raise DataFileError(f"'{spec}' holds no table: no file ends in {', '.join(_KINDS)}.")
    tables = [f for f in files if f.endswith(kind)]
    folders = sorted({str(Path(f).parent) for f in tables})
    if part:
        tables = [f for f in tables if Path(f).parent.name == part]
        if not tables:
            names = ", ".join(Path(folder).name for folder in folders)
            raise InputError(f"'{spec}' has no folder '{part}' with tables; there are: {names}.")
    elif len(folders) > 1:
        names = ", ".join(f"{spec}:{Path(folder).name}" for folder in folders)
        raise InputError(f"'{spec}' holds several tables: choose one of {names}.")
    test = [f for f in tables if _says(f, _TEST_WORDS)]
    train = [f for f in tables if not _says(f, _TEST_WORDS + _OTHER_WORDS)]
    if not train:
        raise DataFileError(f"'{spec}' has no training rows, only {', '.join(tables)}.")
    return train, test


def _says(file: str, words: tuple[str, ...]) -> bool:
    return any(word in Path(file).name.lower() for word in words)


def _together(tables: list[Table]) -> Table:
    import polars as pl

    if len(tables) == 1:
        return tables[0]
    frames = [table.frame for table in tables]
    try:
        return replace(tables[0], frame=pl.concat(frames, how="vertical_relaxed"))
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataFileError(f"The parts of '{tables[0].name}' do not fit: {reason}.") from None
