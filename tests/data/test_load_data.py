import re
import sys
from pathlib import Path

import numpy as np
import pytest

import mlp_jax.data
from mlp_jax.data import load, write_idx
from mlp_jax.data import load as load_by_name
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MLP_JAX_DATA", str(tmp_path))
    return tmp_path


def write_set(folder):
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.zeros((2, 5, 3), np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.array([4, 9], np.uint8))


def test_the_digits_load_by_name():
    assert load("digits").train.x.shape == (1797, 64)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_loads_from_debians_package(monkeypatch):
    monkeypatch.delenv("MLP_JAX_DATA", raising=False)
    dataset = load("fashion_mnist")
    assert dataset.test is not None
    assert dataset.train.x.shape == (60000, 784)
    assert dataset.test.x.shape == (10000, 784)
    assert dataset.image_shape == (28, 28)
    # Xiao, Rasul & Vollgraf 2017: 6000 training and 1000 test images a class.
    assert np.bincount(dataset.train.y).tolist() == [6000] * 10
    assert np.bincount(dataset.test.y).tolist() == [1000] * 10
    # The mean and deviation that PyTorch's examples normalize Fashion-MNIST with.
    assert round(dataset.train.x.mean() / 255, 4) == 0.2860
    assert round(dataset.train.x.std() / 255, 4) == 0.3530
    assert dataset.classes[dataset.train.y[0]] == "Ankle boot"


@pytest.mark.parametrize(
    ("name", "folder", "ninth"),
    [
        ("mnist", "MNIST/raw", "9"),
        ("fashion_mnist", "FashionMNIST/raw", "Ankle boot"),
        ("kmnist", "KMNIST/raw", "wo"),
    ],
)
def test_a_named_set_is_found_where_torchvision_puts_it(data_root, name, folder, ninth):
    write_set(data_root / folder)
    dataset = load(name)
    assert dataset.name == name
    assert dataset.image_shape == (5, 3)
    assert len(dataset.classes) == 10
    assert dataset.classes[dataset.train.y[1]] == ninth


def test_a_named_set_that_is_not_there_says_which_files_to_put_where(data_root, monkeypatch):
    with pytest.raises(DataFileError, match=f"t10k-labels-idx1-ubyte.* into '{data_root}/MNIST/r"):
        load("mnist")
    monkeypatch.delenv("MLP_JAX_DATA")
    with pytest.raises(DataFileError, match="KMNIST/raw in a folder that MLP_JAX_DATA names"):
        load("kmnist")


def test_fashion_mnist_that_is_not_there_names_the_package(monkeypatch, tmp_path):
    monkeypatch.delenv("MLP_JAX_DATA", raising=False)
    monkeypatch.setattr(
        sys.modules[load_by_name.__module__], "_DEBIAN_FASHION_MNIST", tmp_path / "none"
    )
    with pytest.raises(DataFileError, match="apt-get install dataset-fashion-mnist"):
        load("fashion_mnist")


def test_a_folder_of_idx_files_loads(tmp_path):
    write_set(tmp_path / "mine")
    dataset = load(f"idx:{tmp_path / 'mine'}")
    assert dataset.name == "mine"
    assert dataset.classes == tuple("0123456789")


def test_an_npz_file_loads_with_the_task_asked(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.zeros((2, 1)), y=np.array([0, 1]))
    assert load(str(tmp_path / "t.npz")).is_classification
    assert not load(str(tmp_path / "t.npz"), task="regression").is_classification


def test_a_missing_file_is_named():
    with pytest.raises(DataFileError, match=r"There is no file 'nowhere\.npz'\."):
        load("nowhere.npz")
    with pytest.raises(DataFileError, match=r"There is no folder 'nowhere'\."):
        load("idx:nowhere")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"data set 'fashion-mnist'. Did you mean 'fashion_"):
        load("fashion-mnist")
    with pytest.raises(UnknownNameError, match=r"Known: FILE\.npz, digits, fashion_mnist, idx:FOL"):
        load("table.csv")
    with pytest.raises(UnknownNameError, match="task"):
        load("digits", task="clustering")


def test_a_set_of_classes_is_not_for_regression():
    with pytest.raises(InputError, match="'digits' holds classes"):
        load("digits", task="regression")


def test_the_data_code_imports_neither_jax_nor_scikit_learn():
    for path in Path(mlp_jax.data.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (jax|sklearn)\b", text, re.MULTILINE), path
