import io

import numpy as np
import pytest

from mlp_jax.data import load
from mlp_jax.errors import DataFileError, InputError

CSV = b"a,b,c\n1,x,0.5\n2,y,1.5\n"


def test_a_table_at_an_address_is_downloaded_once_and_read_like_a_file(server, tmp_path):
    url = server.serve("/some/small%20table.csv", CSV) + "?version=2"
    for _ in range(2):
        table = load(url, targets=["c"], data_dir=tmp_path)
        assert table.name == "small table"
        assert table.targets == ("c",)
        assert table.frame.rows() == [(1, "x", 0.5), (2, "y", 1.5)]
    assert len(server.requests) == 1


def test_arrays_at_an_address_are_a_data_set(server, tmp_path):
    body = io.BytesIO()
    np.savez(body, x=np.zeros((2, 3, 3), np.uint8), y=np.array([0, 1]))
    dataset = load(server.serve("/images.npz", body.getvalue()), data_dir=tmp_path)
    assert dataset.image_shape == (3, 3)
    assert dataset.train.x.dtype == np.uint8


def test_a_file_of_no_known_kind_is_not_asked_for(server, tmp_path):
    with pytest.raises(InputError, match=r"page\.html' must end in one of \.csv, .*\.npz"):
        load(f"{server.url}/page.html", data_dir=tmp_path)
    assert server.requests == []


def test_a_file_that_cannot_be_read_is_not_kept(server, tmp_path):
    url = server.serve("/a.npz", b"<html>not found</html>", b"PK but no zip")
    for words in ("not an .npz file", "damaged or truncated"):
        with pytest.raises(DataFileError, match=words):
            load(url, data_dir=tmp_path)
    assert [path.name for path in tmp_path.rglob("*.npz")] == []


def test_a_copy_that_changed_is_not_used(server, tmp_path):
    url = server.serve("/a.csv", CSV)
    load(url, targets=["c"], data_dir=tmp_path)
    (copy,) = tmp_path.rglob("a.csv")
    copy.write_bytes(CSV + b"3,z,2.5\n")
    with pytest.raises(DataFileError, match="has changed since it was first used"):
        load(url, targets=["c"], data_dir=tmp_path)
    copy.unlink()
    assert load(url, targets=["c"], data_dir=tmp_path).frame.height == 2


def test_without_a_network_the_message_says_where_to_put_the_file(nobody, tmp_path):
    with pytest.raises(DataFileError, match=r"no connection\): put the file at '.*/a\.csv'") as e:
        load(f"{nobody}/a.csv", targets=["c"], data_dir=tmp_path)
    place = str(e.value).split("'")[-2]
    with open(place, "wb") as file:  # noqa: PTH123
        file.write(CSV)
    assert load(f"{nobody}/a.csv", targets=["c"], data_dir=tmp_path).frame.height == 2
