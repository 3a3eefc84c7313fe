"""From what a user writes, a name or a file, to a Dataset."""

import os
from pathlib import Path

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.digits import load_digits
from mlp_jax.data.idx import read_folder
from mlp_jax.data.npz import read_npz
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

DATA_VARIABLE = "MLP_JAX_DATA"
_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_DIGITS = tuple("0123456789")
_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# name: (folder under $MLP_JAX_DATA, as torchvision lays it out; classes)
_MNIST_KIN = {
    "mnist": ("MNIST/raw", _DIGITS),
    "fashion_mnist": ("FashionMNIST/raw", _GARMENTS),
    "kmnist": ("KMNIST/raw", _HIRAGANA),
}


def load(spec: str, *, task: str = "auto") -> Dataset:
    """Load 'digits', 'mnist', 'fashion_mnist', 'kmnist', 'idx:FOLDER' or a path 'FILE.npz'.

    The named sets but 'digits' are looked for under $MLP_JAX_DATA, where torchvision puts them;
    Fashion-MNIST also where Debian's package does. `task` is 'auto', 'classification' or
    'regression', and chooses for an .npz file. Raises UnknownNameError, DataFileError, InputError.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    if spec.endswith(".npz"):
        return read_npz(Path(spec).expanduser(), task=task)
    if task == "regression":
        raise InputError(f"'{spec}' holds classes, so it cannot be used for regression.")
    if spec == "digits":
        return load_digits()
    if spec in _MNIST_KIN:
        return read_folder(_find_folder(spec), name=spec, classes=_MNIST_KIN[spec][1])
    if spec.startswith("idx:"):
        return read_folder(Path(spec.removeprefix("idx:")).expanduser())
    raise UnknownNameError("data set", spec, ("digits", *_MNIST_KIN, "idx:FOLDER", "FILE.npz"))


def _find_folder(name: str) -> Path:
    relative = _MNIST_KIN[name][0]
    root = os.environ.get(DATA_VARIABLE)
    candidates = [Path(root).expanduser() / relative] if root else []
    if name == "fashion_mnist":
        candidates.append(_DEBIAN_FASHION_MNIST)
    for folder in candidates:
        if folder.is_dir():
            return folder
    place = f"'{candidates[0]}'" if root else f"{relative} in a folder that {DATA_VARIABLE} names"
    package = (
        ", or run apt-get install dataset-fashion-mnist (Debian)" if name == "fashion_mnist" else ""
    )
    raise DataFileError(
        f"'{name}' is not on this machine: put train-images-idx3-ubyte, train-labels-idx1-ubyte,"
        " t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or each with .gz) into"
        f" {place}{package}."
    )
