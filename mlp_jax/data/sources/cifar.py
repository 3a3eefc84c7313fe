"""CIFAR-10 and CIFAR-100 from their binary version; the pickled one is never loaded.

Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

import hashlib
import math
import os
from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.file_errors import data_file_errors
from mlp_jax.data.sources.archives import extract
from mlp_jax.data.sources.checksums import check_recorded, forget, is_published
from mlp_jax.data.sources.download import DownloadError, download
from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.sources.published import CIFAR_SETS, CifarSet
from mlp_jax.errors import DataFileError

_SHAPE = (3, 32, 32)
_MOST_UNPACKED = 256 << 20


def load_cifar(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """A set of CIFAR_SETS: x uint8 (N, 3072), images of 32 × 32 pixels of red, green and blue.

    The unpacked files are checked against what was recorded when they were unpacked from the
    archive with the published checksum. Raises DataFileError that says which file to put where.
    """
    spec = CIFAR_SETS[name]
    root = data_folder(data_dir)
    try:
        return _read(name, spec, root / spec.folder)
    except DataFileError as error:
        damage = str(error).rstrip(".") if (root / spec.folder).is_dir() else ""
    archive = root / spec.archive.name
    brought = archive.is_file() and is_published(archive, spec.archive)
    if not brought:
        try:
            download(spec.archive, root)
        except DownloadError as error:
            raise DataFileError(_what_to_put_where(name, spec, root, damage, str(error))) from None
    for member in extract(archive, root, bound=_MOST_UNPACKED):
        forget(member)
    if not brought:
        archive.unlink(missing_ok=True)
    return _read(name, spec, root / spec.folder)


def find_cifar(spec: CifarSet, root: Path) -> bool:
    """Return True if the files, or their archive, are in the data folder; unchecked."""
    files = [root / spec.folder / file for file in (*spec.train, spec.test, spec.names)]
    return all(file.is_file() for file in files) or (root / spec.archive.name).is_file()


def _read(name: str, spec: CifarSet, folder: Path) -> Dataset:
    content = {}
    for file in (*spec.train, spec.test, spec.names):
        with data_file_errors(folder / file):
            content[file] = (folder / file).read_bytes()
    train = [_records(spec, folder / file, content[file], spec.rows[0]) for file in spec.train]
    test = _records(spec, folder / spec.test, content[spec.test], spec.rows[1])
    lines = content[spec.names].decode("utf-8", "replace").splitlines()
    classes = tuple(line.strip() for line in lines if line.strip())
    if len(classes) != spec.n_classes:
        raise DataFileError(
            f"'{folder / spec.names}' names {len(classes)} classes, not {spec.n_classes}."
        )
    for file, held in content.items():
        check_recorded(folder / file, f"sha256:{hashlib.sha256(held).hexdigest()}")
    return from_arrays(
        name,
        np.concatenate([images for images, _ in train]),
        np.concatenate([labels for _, labels in train]),
        test=test,
        task="classification",
        classes=classes,
    )


def _records(
    spec: CifarSet, path: Path, content: bytes, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,) of one file."""
    width = spec.label_bytes + math.prod(_SHAPE)
    if len(content) != rows * width:
        raise DataFileError(
            f"'{path}' has {len(content)} bytes, not the {rows * width} of {rows} images."
        )
    records = np.frombuffer(content, np.uint8).reshape(rows, width)
    labels = records[:, spec.label_bytes - 1]
    if labels.max() >= spec.n_classes:
        raise DataFileError(
            f"'{path}' has a label {labels.max()}, but the labels end at {spec.n_classes - 1}."
        )
    images = records[:, spec.label_bytes :].reshape(rows, *_SHAPE).transpose(0, 2, 3, 1)
    return images, labels


def _what_to_put_where(name: str, spec: CifarSet, root: Path, damage: str, reason: str) -> str:
    state = f"'{name}' is not on this machine"
    if damage:
        state = damage
    elif (root / spec.pickled).is_dir():
        state = f"'{name}' is only present as '{spec.pickled}', a pickle, which is never loaded"
    return (
        f"{state}, and {spec.archive.name} could not be downloaded ({reason}):"
        f" put it into '{root}'."
    )
