"""MNIST and its kin: four IDX files, found or downloaded, each checked before it is used."""

import hashlib
import os
from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.idx import find_idx, read_idx
from mlp_jax.data.sources.archives import extract
from mlp_jax.data.sources.checksums import (
    algorithm_of,
    check_recorded,
    forget,
    is_published,
    recorded,
)
from mlp_jax.data.sources.download import DownloadError, download
from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.sources.published import IDX_SETS, IdxSet
from mlp_jax.errors import DataFileError

_MOST_UNPACKED = 2 << 30


def load_images(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """A set of IDX_SETS: x uint8 (N, pixels), upright images.

    Files are looked for in the data folder, where torchvision puts them, and wherever else the
    set may lie; what is missing or damaged is downloaded. Raises DataFileError that says which
    files to put where, where that cannot be done.
    """
    spec = IDX_SETS[name]
    root = data_folder(data_dir)
    images, labels, test_images, test_labels = (
        _obtain(name, spec, index, root) for index in range(4)
    )
    if spec.transposed:
        images, test_images = images.transpose(0, 2, 1), test_images.transpose(0, 2, 1)
    return from_arrays(
        name,
        images,
        labels - spec.first_label,
        test=(test_images, test_labels - spec.first_label),
        task="classification",
        classes=spec.classes,
    )


def find_images(spec: IdxSet, root: Path) -> list[Path | None]:
    """Where each of a set's four files lies, unchecked; None for those that are not there."""
    folders = [root / place for place in (spec.folder, *spec.elsewhere)]
    found = []
    for file in spec.files:
        places = (find_idx(folder, file.name.removesuffix(".gz")) for folder in folders)
        found.append(next((path for path in places if path is not None), None))
    return found


def _obtain(name: str, spec: IdxSet, index: int, root: Path) -> np.ndarray:
    """The array of one file: found and good, or else downloaded."""
    path, damage = find_images(spec, root)[index], ""
    if path is not None:
        try:
            return _read(spec, index, path)
        except DataFileError as error:
            damage = str(error).rstrip(".")
    home = root / spec.folder
    try:
        fetched = _fetch(spec, index, home)
    except DownloadError as error:
        raise DataFileError(
            _what_to_put_where(name, spec, index, root, damage, str(error))
        ) from None
    return _read(spec, index, fetched)


def _fetch(spec: IdxSet, index: int, home: Path) -> Path:
    file = spec.files[index]
    if spec.archive is None:
        path = download(file, home)
        forget(path)
        return path
    archive = home / spec.archive.name
    brought = archive.is_file() and is_published(archive, spec.archive)
    if not brought:
        download(spec.archive, home)
    members = extract(archive, home, bound=_MOST_UNPACKED)
    for member in members:
        forget(member)
    if not brought:
        archive.unlink(missing_ok=True)
    unpacked = [member for member in members if member.name == file.name]
    if not unpacked:
        raise DataFileError(f"'{archive}' holds no {file.name}.")
    return unpacked[0]


def _read(spec: IdxSet, index: int, path: Path) -> np.ndarray:
    """The array of a file whose checksum is right; with none known, its structure must be."""
    file, part = spec.files[index], index // 2
    expected = file.content or recorded(path)
    digest = hashlib.new(algorithm_of(expected), usedforsecurity=False)
    array = read_idx(path, digest.update)
    found = f"{algorithm_of(expected)}:{digest.hexdigest()}"
    if expected and found != expected:
        raise DataFileError(f"'{path}' is not the published file: {found} instead of {expected}.")
    shape = (spec.rows[part], *spec.shape) if index % 2 == 0 else (spec.rows[part],)
    if array.shape != shape or array.dtype != np.uint8:
        raise DataFileError(
            f"'{path}' holds {array.dtype} of shape {array.shape}, not uint8 of shape {shape}."
        )
    if index % 2 == 1:
        last = spec.first_label + len(spec.classes) - 1
        if array.min() < spec.first_label or array.max() > last:
            raise DataFileError(
                f"'{path}' holds labels from {array.min()} to {array.max()},"
                f" not from {spec.first_label} to {last}."
            )
    if not file.content:
        check_recorded(path, found)
    return array


def _what_to_put_where(
    name: str, spec: IdxSet, index: int, root: Path, damage: str, reason: str
) -> str:
    missing = [
        file.name
        for file, path in zip(spec.files, find_images(spec, root), strict=True)
        if path is None
    ]
    wanted = [spec.archive.name] if spec.archive else missing or [spec.files[index].name]
    state = f"'{name}' is not on this machine, and"
    if damage:
        state = f"{damage}, and a new copy"
    files = " and ".join(filter(None, (", ".join(wanted[:-1]), wanted[-1])))
    return (
        f"{state} could not be downloaded ({reason}): put {files}"
        f" into '{root / spec.folder}'{spec.hint}."
    )
