import struct
import zipfile

import numpy as np
import pytest

from mlp_jax.data import read_npz
from mlp_jax.errors import DataFileError, InputError

X = np.arange(8, dtype=np.float32).reshape(4, 2)
Y = np.array([0, 1, 1, 0])


def saved(folder, **arrays):
    path = folder / "table.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("key", ["x", "X"])
def test_x_and_y_are_read(tmp_path, key):
    dataset = read_npz(saved(tmp_path, **{key: X, "y": Y}))
    assert dataset.name == "table"
    assert dataset.classes == ("0", "1")
    assert dataset.test is None
    np.testing.assert_array_equal(dataset.train.x, X)
    np.testing.assert_array_equal(dataset.train.y, Y)


def test_images_as_keras_stores_them_are_read(tmp_path):
    images = np.arange(4 * 28 * 28).reshape(4, 28, 28).astype(np.uint8)
    path = saved(
        tmp_path, x_train=images, y_train=Y, x_test=images[:2], y_test=Y[:2].astype(np.uint8)
    )
    dataset = read_npz(path)
    assert dataset.train.x.dtype == np.uint8
    assert dataset.image_shape == (28, 28)
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.train.x, images.reshape(4, 784))
    np.testing.assert_array_equal(dataset.test.y, Y[:2])


def test_strings_are_encoded_and_classes_may_be_given(tmp_path):
    names = np.array(["b", "a", "a", "b"])
    assert read_npz(saved(tmp_path, x=X, y=names)).train.y.tolist() == [1, 0, 0, 1]
    dataset = read_npz(saved(tmp_path, x=X, y=names, classes=np.array(["b", "a", "c"])))
    assert dataset.classes == ("b", "a", "c")
    assert dataset.train.y.tolist() == [0, 1, 1, 0]
    dataset = read_npz(saved(tmp_path, x=X, y=Y, classes=np.array([b"no", b"yes"])))
    assert dataset.classes == ("no", "yes")


def test_the_values_of_y_choose_the_task_unless_it_is_forced(tmp_path):
    assert not read_npz(saved(tmp_path, x=X, y=Y + np.float32(0.5))).is_classification
    path = saved(tmp_path, x=X, y=Y)
    assert read_npz(path).is_classification
    assert read_npz(path, task="regression").train.y.dtype == np.float32


def test_keys_that_are_missing_are_named_with_those_found(tmp_path):
    path = saved(tmp_path, x=X, x_test=X)
    with pytest.raises(InputError, match=r"needs the keys x and y.* but has x, x_test\."):
        read_npz(path)


def test_half_a_test_set_is_refused(tmp_path):
    path = saved(tmp_path, x_train=X, y_train=Y, x_test=X)
    with pytest.raises(InputError, match="x_test without the other half"):
        read_npz(path)


@pytest.mark.parametrize("key", ["x", "y"])
def test_object_arrays_are_refused_and_not_unpickled(tmp_path, key):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    trapped = np.array([Bomb(), None, None, None], dtype=object)
    path = saved(tmp_path, **({"x": X, "y": Y} | {key: trapped}))
    with pytest.raises(InputError, match=f"'{key}' in .* is an object array"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"\x93NUMPY\x01\x00", b"\x80\x04."])
def test_what_is_not_a_zip_is_refused(tmp_path, content):
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"is not an \.npz file"):
        read_npz(path)


@pytest.mark.parametrize("kept", [2, 40, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = saved(tmp_path, x=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(DataFileError, match="damaged or truncated"):
        read_npz(path)


def test_a_damaged_member_is_refused(tmp_path):
    path = saved(tmp_path, x=np.random.default_rng(0).normal(size=(4, 200)), y=Y)
    content = bytearray(path.read_bytes())
    content[1500] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="damaged or truncated"):
        read_npz(path)


def test_a_member_that_promises_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "table.npz"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 64), }"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member)
        archive.writestr("y.npy", member)
    with pytest.raises(DataFileError, match="damaged or truncated"):
        read_npz(path)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "table.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "1 2 3")
        archive.writestr("y", "1 2 3")
    with pytest.raises(DataFileError, match=r"'x' in .* is not a NumPy array"):
        read_npz(path)


def test_classes_that_are_no_names_are_refused(tmp_path):
    path = saved(tmp_path, x=X, y=Y, classes=np.zeros((2, 2)))
    with pytest.raises(InputError, match="must be a list of names"):
        read_npz(path)


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(DataFileError, match="There is no file"):
        read_npz(tmp_path / "nowhere.npz")
    with pytest.raises(DataFileError, match="Is a directory"):
        read_npz(tmp_path)


def test_an_archive_that_declares_more_than_its_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlp_jax.data.bounds.MOST_FOR_FREE", 100_000)
    assert read_npz(saved(tmp_path, x=np.zeros((4, 2000)), y=Y)).train.x.shape == (4, 2000)
    path = saved(tmp_path, x=np.zeros((4, 200_000)), y=Y)
    with pytest.raises(DataFileError, match=r"would inflate to 6\.4 MB, more than .* the limit"):
        read_npz(path)
    np.savez(path, x=np.zeros((4, 200_000)), y=Y)
    assert read_npz(path).train.x.shape == (4, 200_000)


def test_an_archive_that_declares_less_than_it_holds_is_refused(tmp_path):
    path = saved(tmp_path, x=np.zeros((4, 200_000)), y=Y)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("x.npy").file_size
    content = path.read_bytes()
    true, false = struct.pack("<I", size), struct.pack("<I", 1000)
    assert content.count(true) >= 1
    path.write_bytes(content.replace(true, false))
    with pytest.raises(DataFileError, match="damaged or truncated"):
        read_npz(path)
