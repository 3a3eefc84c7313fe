"""HIGGS: eleven million simulated collisions, 28 features, the last 500,000 rows for testing.

Source: Baldi, Sadowski & Whiteson, "Searching for exotic particles in high-energy physics with
deep learning", 2014, whose test rows these are.
"""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.file_errors import data_file_errors
from mlp_jax.data.sources import published
from mlp_jax.data.sources.checksums import is_published
from mlp_jax.data.sources.download import DownloadError, download
from mlp_jax.data.sources.places import data_folder
from mlp_jax.errors import DataFileError

FOLDER = "HIGGS"
N_TEST = 500_000
CLASSES = ("background", "signal")
_JETS = tuple(f"jet_{i}_{part}" for i in range(1, 5) for part in ("pt", "eta", "phi", "b_tag"))
FEATURES = (
    *("lepton_pt", "lepton_eta", "lepton_phi", "missing_energy", "missing_energy_phi"),
    *_JETS,
    *("m_jj", "m_jjj", "m_lv", "m_jlv", "m_bb", "m_wbb", "m_wwbb"),
)
_CHUNK = 1 << 26


def load_higgs(data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """HIGGS: x float32 (N, 28); read in pieces, so that memory holds little but the arrays.

    Raises DataFileError that says which file to put where.
    """
    file, folder = published.HIGGS, data_folder(data_dir) / FOLDER
    path = folder / file.name
    if not (path.is_file() and is_published(path, file)):
        try:
            download(file, folder)
        except DownloadError as error:
            raise DataFileError(
                f"'higgs' is not on this machine, and {file.name} could not be downloaded"
                f" ({error}): put it into '{folder}'."
            ) from None
    labels, features = zip(*_pieces(path), strict=True)
    y, x = np.concatenate(labels), np.concatenate(features)
    del labels, features
    if len(y) <= N_TEST:
        raise DataFileError(f"'{path}' has {len(y)} rows, no more than the {N_TEST} test rows.")
    return from_arrays(
        "higgs",
        x[:-N_TEST],
        y[:-N_TEST],
        test=(x[-N_TEST:], y[-N_TEST:]),
        task="classification",
        classes=CLASSES,
        feature_names=FEATURES,
    )


def _pieces(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels uint8 (N,) and features float32 (N, 28) of piece after piece of whole lines."""
    rest = b""
    with data_file_errors(path), gzip.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            whole, newline, rest_after = chunk.rpartition(b"\n")
            if newline:
                yield _parsed(rest + whole, path)
                rest = rest_after
            else:
                rest += chunk
    if rest:
        yield _parsed(rest, path)


def _parsed(lines: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    import polars as pl

    try:
        frame = pl.read_csv(
            lines,
            has_header=False,
            new_columns=["label", *FEATURES],
            schema_overrides=[pl.Float32] * (1 + len(FEATURES)),
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataFileError(f"'{path}' is not the table of HIGGS: {reason}.") from None
    if frame.width != 1 + len(FEATURES):
        raise DataFileError(f"'{path}' has {frame.width} columns, not {1 + len(FEATURES)}.")
    return frame["label"].to_numpy().astype(np.uint8), frame.select(FEATURES).to_numpy(order="c")
