"""The data sets that can be named: what each is, how it is had, whether it is on this machine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlp_jax.data.dataset import Dataset
from mlp_jax.data.digits import load_digits
from mlp_jax.data.sources import cifar, embedded, fetched, higgs, images, published
from mlp_jax.data.sources.mnist1d import load_mnist1d
from mlp_jax.data.table import Table

Folder = str | os.PathLike[str] | None
ALIASES = {"emnist": "emnist:balanced", "fashion-mnist": "fashion_mnist"}


@dataclass(frozen=True)
class Entry:
    """A named data set.

    rows: to learn from, and the set's own to test on (0: none). n_classes: 0 where a number is
    predicted. n_bytes: to download. obtained: where it comes from. load(data_dir) loads it;
    is_here(data_folder) says whether its files are there, unchecked.
    """

    name: str
    rows: tuple[int, int]
    n_features: int
    n_classes: int
    n_bytes: int
    licence: str
    obtained: Literal["built in", "generated", "mirrors", "scikit-learn's fetcher"]
    load: Callable[[Folder], "Dataset | Table"]
    is_here: Callable[[Path], bool]

    @property
    def task(self) -> str:
        """Task of the set: "classification" or "regression"."""
        return "classification" if self.n_classes else "regression"


def _small(name: str, rows: int, n_features: int, n_classes: int, licence: str) -> Entry:
    def load(_: Folder) -> Table:
        return embedded.load_small_table(name)

    return Entry(
        name=name,
        rows=(rows, 0),
        n_features=n_features,
        n_classes=n_classes,
        n_bytes=0,
        licence=licence,
        obtained="built in",
        load=load,
        is_here=lambda _: True,
    )


def _images(name: str, licence: str) -> Entry:
    spec = published.IDX_SETS[name]
    files = (spec.archive,) if spec.archive else spec.files
    return Entry(
        name=name,
        rows=spec.rows,
        n_features=spec.shape[0] * spec.shape[1],
        n_classes=len(spec.classes),
        n_bytes=sum(file.n_bytes for file in files),
        licence=licence,
        obtained="mirrors",
        load=lambda data_dir: images.load_images(name, data_dir),
        is_here=lambda root: None not in images.find_images(published.IDX_SETS[name], root),
    )


def _cifar(name: str, licence: str) -> Entry:
    spec = published.CIFAR_SETS[name]
    return Entry(
        name=name,
        rows=(len(spec.train) * spec.rows[0], spec.rows[1]),
        n_features=3 * 32 * 32,
        n_classes=spec.n_classes,
        n_bytes=spec.archive.n_bytes,
        licence=licence,
        obtained="mirrors",
        load=lambda data_dir: cifar.load_cifar(name, data_dir),
        is_here=lambda root: cifar.find_cifar(published.CIFAR_SETS[name], root),
    )


def _fetched(name: str, n_features: int, n_classes: int, n_bytes: int, licence: str) -> Entry:
    return Entry(
        name=name,
        rows=(fetched.FETCHED_TABLES[name].rows, 0),
        n_features=n_features,
        n_classes=n_classes,
        n_bytes=n_bytes,
        licence=licence,
        obtained="scikit-learn's fetcher",
        load=lambda data_dir: fetched.load_fetched(name, data_dir),
        is_here=lambda root: fetched.find_fetched(name, root),
    )


_ENTRIES = (
    Entry(
        *("digits", (1797, 0), 64, 10, 0, "CC BY 4.0", "built in"),
        lambda _: load_digits(),
        lambda _: True,
    ),
    _small("iris", 150, 4, 3, "CC BY 4.0"),
    _small("wine", 178, 13, 3, "CC BY 4.0"),
    _small("breast_cancer", 569, 30, 2, "CC BY 4.0"),
    _small("diabetes", 442, 10, 0, "not stated"),
    Entry(
        *("mnist1d", (4000, 1000), 40, 10, 0, "Apache-2.0", "generated"),
        lambda _: load_mnist1d(),
        lambda _: True,
    ),
    _images("mnist", "CC BY-SA 3.0"),
    _images("fashion_mnist", "MIT"),
    _images("kmnist", "CC BY-SA 4.0"),
    *(_images(name, "not stated") for name in published.IDX_SETS if name.startswith("emnist:")),
    _cifar("cifar10", "not stated"),
    _cifar("cifar100", "not stated"),
    _fetched("california_housing", 8, 0, 441963, "not stated"),
    _fetched("covtype", 54, 7, 11240707, "CC BY 4.0"),
    Entry(
        *("higgs", (10_500_000, higgs.N_TEST), 28, 2, published.HIGGS.n_bytes, "CC BY 4.0"),
        "mirrors",
        higgs.load_higgs,
        lambda root: (root / higgs.FOLDER / published.HIGGS.name).is_file(),
    ),
)
ENTRIES = {entry.name: entry for entry in _ENTRIES}
