import gzip

import numpy as np
import pytest
from idx_files import write_idx

from mlp_jax.data import from_arrays, read_folder
from mlp_jax.data.streams import array_files
from mlp_jax.data.streams.arrays import open_idx, open_npy, open_npy_folder
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
ALL = np.arange(50)


@pytest.fixture(autouse=True, params=[0, 1 << 20], ids=["on disk", "held"])
def held_bytes(request, monkeypatch):
    monkeypatch.setattr(array_files, "_HELD_BYTES", request.param)


def pair(folder, x=X, y=None, **options):
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", np.arange(len(x)) % 2 if y is None else y)
    return open_npy(folder / "x.npy", folder / "y.npy", **options)


@pytest.mark.parametrize(
    ("x", "y", "task"),
    [
        (X, ALL % 3, "auto"),
        (X.astype(np.float64), ALL % 3 + 4, "auto"),
        (X.astype(">f4"), (ALL % 3).astype(float), "classification"),
        (X.astype(np.float16), ALL % 2 == 0, "auto"),
        (RNG.integers(0, 9, (50, 3)), ALL % 3, "regression"),
        (RNG.integers(0, 256, (50, 4, 5)).astype(np.uint8), ALL % 3, "auto"),
        (RNG.integers(0, 256, (50, 4, 5, 3)).astype(np.uint8), (ALL % 3)[:, None], "auto"),
        (X, RNG.normal(size=(50, 2)), "auto"),
    ],
)
def test_rows_are_what_arrays_in_memory_become(tmp_path, x, y, task):
    source = pair(tmp_path, x, y, task=task)
    expected = from_arrays("x", x, y, task=task)
    found = source.read(ALL)
    for a, b in zip(found, (expected.train.x, expected.train.y), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
        assert a.dtype.isnative
    assert source.classes == expected.classes
    assert source.image_shape == expected.image_shape
    assert source.n_features == expected.n_features
    backwards = source.read(ALL[::-1])
    np.testing.assert_array_equal(backwards.x, expected.train.x[::-1])


def test_an_idx_folder_streams_as_it_is_read(tmp_path):
    images = RNG.integers(0, 256, (50, 4, 5)).astype(np.uint8)
    labels = (2 * (ALL % 3)).astype(np.uint8)
    for start in ("train", "t10k"):
        write_idx(tmp_path / f"{start}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{start}-labels-idx1-ubyte", labels)
    expected, source = read_folder(tmp_path), open_idx(tmp_path)
    assert source.classes == expected.classes
    assert source.image_shape == (4, 5)
    for a, b in zip(source.read(ALL), (expected.train.x, expected.train.y), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(open_idx(tmp_path, test=True)) == 50


def test_idx_of_wider_types_comes_in_the_byte_order_of_the_machine(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", X.reshape(50, 3, 1))
    write_idx(tmp_path / "train-labels-idx1-ubyte", (ALL % 3).astype(np.int32))
    found = open_idx(tmp_path).read(ALL[5:9])
    np.testing.assert_array_equal(found.x, X[5:9])
    assert found.x.dtype.isnative


def test_gzipped_idx_is_refused(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((5, 2, 2), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(DataFileError, match=r"is gzipped, .* gunzip it first"):
        open_idx(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x03\0\0\0\x05", "truncated inside its header"),
        (b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + b"1234567", "holds 7 bytes .* declares 8"),
        (b"hello", "is not an IDX file"),
    ],
)
def test_torn_idx_is_refused(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(DataFileError, match=message):
        open_idx(tmp_path)


def test_a_torn_npy_is_refused(tmp_path):
    pair(tmp_path)
    path = tmp_path / "x.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataFileError, match=r"damaged \.npy file"):
        open_npy(path, tmp_path / "y.npy")
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataFileError, match=r"damaged \.npy file"):
        open_npy(path, tmp_path / "y.npy")
    path.write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataFileError, match=r"damaged \.npy file"):
        open_npy(path, tmp_path / "y.npy")


def test_a_pickle_is_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(InputError, match="need pickle"):
        open_npy(tmp_path / "x.npy", tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, ALL[:-1], "x has 50 rows, but y has 49"),
        (np.array([["a"]] * 50), ALL, "x must hold numbers"),
        (X, np.array(["a"] * 50), "y must hold numbers"),
        (np.asfortranarray(X), ALL, "Fortran order"),
        (X[:0], ALL[:0], "has no rows"),
        (X[:, 0], ALL, "one row of values each"),
    ],
)
def test_what_is_not_rows_and_targets_is_refused(tmp_path, x, y, message):
    with pytest.raises(InputError, match=message):
        pair(tmp_path, x, y)


def test_broken_labels_are_named_with_their_row_past_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("mlp_jax.data.streams.arrays._CHUNK", 20)
    y = (ALL % 2).astype(float)
    y[43] = 0.5
    with pytest.raises(InputError, match=r"row 43 has 0\.5"):
        pair(tmp_path, y=y, task="classification")


def test_more_labels_than_classes_can_be_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlp_jax.data.streams.arrays._MOST_CLASSES", 10)
    with pytest.raises(InputError, match="more than 10 different whole numbers"):
        pair(tmp_path, y=ALL, task="classification")


def test_an_unknown_task_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="Unknown task"):
        pair(tmp_path, task="ranking")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataFileError, match="There is no folder"):
        open_npy_folder(tmp_path / "none")
    with pytest.raises(DataFileError, match=r"has no file called x….npy"):
        open_npy_folder(tmp_path)
    with pytest.raises(DataFileError, match="There is no file"):
        open_npy(tmp_path / "x.npy", tmp_path / "y.npy")
    with pytest.raises(DataFileError, match="has no train-images-idx3-ubyte"):
        open_idx(tmp_path)
    np.save(tmp_path / "x1.npy", X)
    with pytest.raises(DataFileError, match=r"has x1.npy, but no matching y1.npy"):
        open_npy_folder(tmp_path)


def test_files_of_a_folder_must_hold_the_same_rows(tmp_path):
    for k, x in enumerate((X, X.astype(np.float64))):
        np.save(tmp_path / f"x{k}.npy", x)
        np.save(tmp_path / f"y{k}.npy", ALL)
    with pytest.raises(InputError, match=r"x1.npy' holds rows of float64 \(3,\), but .*float32"):
        open_npy_folder(tmp_path)
    np.save(tmp_path / "x1.npy", X[1:])
    with pytest.raises(InputError, match=r"x1.npy' has 49 rows, but .*y1.npy' has 50"):
        open_npy_folder(tmp_path)


def test_a_file_that_is_cut_below_a_stream_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_HELD_BYTES", 0)
    source = pair(tmp_path)
    path = tmp_path / "x.npy"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    for rows in (ALL, ALL[::-1]):
        with pytest.raises(DataFileError, match="was truncated after it was opened"):
            source.read(rows)
