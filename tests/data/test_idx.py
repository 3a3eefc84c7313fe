import gzip
import struct

import numpy as np
import pytest
from idx_files import write_idx

from mlp_jax.data import read_folder, read_idx
from mlp_jax.errors import DataFileError, InputError

# IDX type code, struct's letter for one value, NumPy's name, and values at the ends of the range.
TYPES = [
    (0x08, "B", "uint8", [0, 1, 2, 127, 128, 255]),
    (0x09, "b", "int8", [-128, -1, 0, 1, 2, 127]),
    (0x0B, "h", "int16", [-(2**15), -1, 0, 1, 258, 2**15 - 1]),
    (0x0C, "i", "int32", [-(2**31), -1, 0, 1, 16909060, 2**31 - 1]),
    (0x0D, "f", "float32", [-1.5, 0.0, 0.25, 1.0, 2.0**-140, 2.0**120]),
    (0x0E, "d", "float64", [-1.5, 0.0, 0.1, 1.0, 1e-300, 1e300]),
]


def by_hand(code, letter, shape, values):
    header = struct.pack(">BBBB", 0, 0, code, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    return header + struct.pack(f">{len(values)}{letter}", *values)


def failure(path, content):
    path.write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("code", "letter", "dtype", "values"), TYPES)
def test_a_file_packed_by_hand_is_read(tmp_path, code, letter, dtype, values, pack):
    path = tmp_path / "values"
    path.write_bytes(pack(by_hand(code, letter, (2, 3), values)))
    array = read_idx(path)
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.tolist() == [values[:3], values[3:]]


@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (1,), (1, 2, 3, 4)])
def test_any_number_of_dimensions_makes_the_round_trip(tmp_path, shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int16).reshape(shape)
    write_idx(tmp_path / "values.gz", array.astype(">i2"))
    np.testing.assert_array_equal(read_idx(tmp_path / "values.gz"), array)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"There is no file '.*nowhere'"):
        read_idx(tmp_path / "nowhere")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataFileError, match="cannot be read: Is a directory"):
        read_idx(tmp_path)


@pytest.mark.parametrize("content", [b"", b"P5 28 28", b"\x00\x01\x08\x01", b"x"])
def test_a_file_with_another_magic_is_not_idx(tmp_path, content):
    assert "is not an IDX file" in failure(tmp_path / "f", content)
    assert "is not an IDX file" in failure(tmp_path / "f", gzip.compress(content))


def test_an_unknown_type_code_is_named_with_the_known_ones(tmp_path):
    message = failure(tmp_path / "f", b"\0\0\x0a\x01" + struct.pack(">I", 1) + b"x")
    assert "0x0a" in message
    assert "0x08, 0x09, 0x0b" in message


@pytest.mark.parametrize("length", [1, 2, 3, 4, 11])
def test_a_header_cut_off_is_said_to_be(tmp_path, length):
    header = by_hand(0x08, "B", (2, 2), [])[:length]
    assert f"inside its header, after {length} bytes" in failure(tmp_path / "f", header)
    assert "inside its header" in failure(tmp_path / "f", gzip.compress(header))


def test_a_file_shorter_than_promised_gives_both_sizes(tmp_path):
    content = by_hand(0x0C, "i", (2, 5), range(10))[:-3]
    for packed in (content, gzip.compress(content)):
        message = failure(tmp_path / "f", packed)
        assert "holds 37 bytes" in message
        assert "declares 40 (shape 2 × 5)" in message


def test_extra_bytes_at_the_end_are_refused(tmp_path):
    content = by_hand(0x08, "B", (3,), [1, 2, 3]) + b"\n"
    assert "holds 4 bytes of values, but its header declares 3" in failure(tmp_path / "f", content)
    message = failure(tmp_path / "f", gzip.compress(content))
    assert "holds more bytes of values, but its header declares 3" in message


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_promise_of_a_terabyte_is_refused_without_taking_memory(tmp_path, pack):
    content = by_hand(0x08, "B", (1 << 20, 1 << 20), [1, 2, 3])
    message = failure(tmp_path / "f", pack(content))
    assert f"holds 3 bytes of values, but its header declares {1 << 40}" in message


def test_a_gzip_file_that_inflates_beyond_its_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlp_jax.data.bounds.MOST_FOR_FREE", 10_000)
    content = by_hand(0x08, "B", (1 << 20,), bytes(1 << 20))
    message = failure(tmp_path / "f", gzip.compress(content))
    assert "inflates to more than 10" in message
    (tmp_path / "f").write_bytes(content)
    assert read_idx(tmp_path / "f").shape == (1 << 20,)


@pytest.mark.parametrize("shape", [(0, *[2**32 - 1] * 4), (1,) * 70])
def test_a_shape_beyond_numpy_is_refused(tmp_path, shape):
    content = by_hand(0x08, "B", shape, [1] * (shape[0] > 0))
    assert "shape that NumPy cannot hold" in failure(tmp_path / "f", content)


def test_a_truncated_or_corrupt_gzip_is_named(tmp_path):
    packed = gzip.compress(by_hand(0x08, "B", (3000,), [i * i % 251 for i in range(3000)]))
    assert "damaged or truncated gzip" in failure(tmp_path / "f", packed[:-9])
    assert "damaged or truncated gzip" in failure(tmp_path / "f", packed[:2])
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    assert "damaged or truncated gzip" in failure(tmp_path / "f", bytes(flipped))
    wrong_sum = packed[:-8] + bytes(4) + packed[-4:]
    assert "damaged or truncated gzip" in failure(tmp_path / "f", wrong_sum)


IMAGES = np.arange(3 * 4 * 2, dtype=np.uint8).reshape(3, 4, 2)
LABELS = np.array([9, 0, 3], np.uint8)


def write_folder(folder, *, mark="-", end="", parts=("train", "t10k")):
    for part in parts:
        write_idx(folder / f"{part}-images{mark}idx3-ubyte{end}", IMAGES)
        write_idx(folder / f"{part}-labels{mark}idx1-ubyte{end}", LABELS)


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder_of_four_files_is_a_data_set(tmp_path, mark, end):
    write_folder(tmp_path, mark=mark, end=end)
    dataset = read_folder(tmp_path)
    assert dataset.name == tmp_path.name
    assert dataset.image_shape == (4, 2)
    assert dataset.classes == tuple("0123456789")
    assert dataset.test is not None
    for part in (dataset.train, dataset.test):
        assert part.x.dtype == np.uint8
        assert part.x.tolist() == IMAGES.reshape(3, 8).tolist()
        assert part.y.tolist() == [9, 0, 3]


def test_a_folder_may_have_no_test_files(tmp_path):
    write_folder(tmp_path, parts=("train",))
    assert read_folder(tmp_path).test is None


def test_labels_past_nine_make_more_classes(tmp_path):
    write_folder(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([0, 12, 1], np.uint8))
    assert read_folder(tmp_path).classes == tuple(str(i) for i in range(13))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match="no train-images-idx3-ubyte and no train-labels-idx1"):
        read_folder(tmp_path)
    write_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataFileError, match="has no t10k-labels-idx1-ubyte"):
        read_folder(tmp_path)
    with pytest.raises(DataFileError, match="There is no folder"):
        read_folder(tmp_path / "nowhere")


def test_files_of_another_kind_are_refused(tmp_path):
    write_folder(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", LABELS)
    with pytest.raises(DataFileError, match=r"images \(rows, height, width\).*\(3,\)"):
        read_folder(tmp_path)
    write_folder(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS.astype(np.float32))
    with pytest.raises(DataFileError, match="float32"):
        read_folder(tmp_path)


def test_images_and_labels_of_two_lengths_are_refused(tmp_path):
    write_folder(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:2])
    with pytest.raises(InputError, match="3 rows, but y has 2 rows"):
        read_folder(tmp_path)


def test_a_label_outside_the_given_classes_is_refused(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(InputError, match=r"label 9 in row 0 .* 0 to 4"):
        read_folder(tmp_path, classes="abcde")
