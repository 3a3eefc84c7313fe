import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from idx_files import write_idx

import mlp_jax.data
from mlp_jax.data import load
from mlp_jax.data.sources.published import IDX_SETS
from mlp_jax.data.table import Table
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


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
def test_a_named_set_is_found_where_torchvision_puts_it(tmp_path, monkeypatch, name, folder, ninth):
    write_set(tmp_path / folder)
    spec = IDX_SETS[name]
    files = tuple(replace(file, content="") for file in spec.files)
    here = replace(spec, files=files, rows=(2, 2), shape=(5, 3))
    monkeypatch.setitem(IDX_SETS, name, here)
    dataset = load(name, data_dir=tmp_path)
    assert dataset.name == name
    assert dataset.image_shape == (5, 3)
    assert len(dataset.classes) == 10
    assert dataset.classes[dataset.train.y[1]] == ninth


def test_fashion_mnist_that_cannot_be_had_names_the_package(monkeypatch, tmp_path):
    spec = IDX_SETS["fashion_mnist"]
    files = tuple(replace(file, urls=("http://127.0.0.1:9/x",)) for file in spec.files)
    monkeypatch.setitem(IDX_SETS, "fashion_mnist", replace(spec, files=files, elsewhere=()))
    with pytest.raises(DataFileError, match="or run apt-get install dataset-fashion-mnist"):
        load("fashion_mnist", data_dir=tmp_path)


def test_a_folder_of_idx_files_loads(tmp_path):
    write_set(tmp_path / "mine")
    for spec in (f"idx:{tmp_path / 'mine'}", str(tmp_path / "mine")):
        dataset = load(spec)
        assert dataset.name == "mine"
        assert dataset.train.x.dtype == np.uint8
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
    with pytest.raises(UnknownNameError, match=r"data set 'fashion_mnst'. Did you mean 'fashion_"):
        load("fashion_mnst")
    with pytest.raises(UnknownNameError, match=r"Known: FILE\.csv, .*emnist:letters.*idx:FOLDER"):
        load("somewhere")
    with pytest.raises(UnknownNameError, match="task"):
        load("digits", task="clustering")


def test_a_file_of_another_kind_is_refused_with_the_known_kinds(tmp_path):
    (tmp_path / "table.xls").write_bytes(b"")
    with pytest.raises(InputError, match=r"table.xls' must end in one of \.csv, .*\.npz"):
        load(str(tmp_path / "table.xls"))


def test_a_table_comes_with_the_columns_asked_for(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("a,b,c,d\n1,x,2,0\n2,y,3,1\n")
    table = load(str(path), targets=["c"], kinds={"d": "boolean"}, drop=["a"], task="regression")
    assert isinstance(table, Table)
    assert table.frame.columns == ["b", "c", "d"]
    assert (table.targets, table.kinds, table.task) == (("c",), {"d": "boolean"}, "regression")
    path.write_text("1,2\n3,4\n")
    assert load(str(path), targets=["-1"], header=False).targets == ("1",)


def test_a_named_table_has_a_target_that_can_be_overridden():
    assert load("iris").targets == ("species",)
    table = load("iris", targets=["petal width (cm)"], drop=["species"], task="regression")
    assert table.targets == ("petal width (cm)",)
    assert table.task == "regression"
    assert "species" not in table.frame.columns
    assert load("iris", targets=["-1"]).task == "classification"
    assert load("iris", targets=["0"]).task == "auto"
    assert load("diabetes", kinds={"sex": "categorical"}).kinds == {"sex": "categorical"}


def test_columns_of_a_named_table_must_be_there():
    with pytest.raises(InputError, match=r"petal"):
        load("iris", targets=["petal widht (cm)"])
    with pytest.raises(UnknownNameError, match=r"column 'species2'\. Did you mean 'species'"):
        load("iris", drop=["species2"])
    with pytest.raises(UnknownNameError, match="column 'age'"):
        load("iris", kinds={"age": "numeric"})
    with pytest.raises(InputError, match="'species' is the target, so it cannot be dropped"):
        load("iris", drop=["species"])


@pytest.mark.parametrize(
    "option", [{"targets": ["y"]}, {"kinds": {"a": "numeric"}}, {"drop": ["a"]}]
)
def test_arrays_have_no_columns_to_speak_of(tmp_path, option):
    np.savez(tmp_path / "t.npz", x=np.zeros((2, 1)), y=np.array([0, 1]))
    write_set(tmp_path / "mine")
    for spec in ("digits", str(tmp_path / "t.npz"), f"idx:{tmp_path / 'mine'}"):
        with pytest.raises(InputError, match="holds arrays with separate targets"):
            load(spec, **option)


def test_a_set_of_classes_is_not_for_regression():
    with pytest.raises(InputError, match="'digits' holds classes"):
        load("digits", task="regression")


def test_the_data_code_imports_neither_jax_nor_scikit_learn():
    for path in Path(mlp_jax.data.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (jax|sklearn)\b", text, re.MULTILINE), path
