import gzip
import hashlib
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from idx_files import write_idx

from mlp_jax.data import load
from mlp_jax.data.idx import FILES
from mlp_jax.data.sources import published
from mlp_jax.errors import DataFileError

ROWS = (6, 4)
RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in ROWS]
LABELS = [np.array([9, 0, 3, 4, 5, 1], np.uint8), np.array([2, 2, 9, 0], np.uint8)]


@pytest.fixture
def contents(tmp_path):
    """The decompressed bytes of the four files, by name."""
    folder = tmp_path / "made"
    folder.mkdir()
    arrays = (IMAGES[0], LABELS[0], IMAGES[1], LABELS[1])
    for name, array in zip(FILES, arrays, strict=True):
        write_idx(folder / name, array)
    return {name: (folder / name).read_bytes() for name in FILES}


def md5(content):
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def small(monkeypatch, contents, server):
    """MNIST of ten images at two mirrors, with checksums of its own."""

    def publish(*, content=True, name="mnist", mirrors=None):
        served = {f"/good/{n}.gz": gzip.compress(c, mtime=0) for n, c in contents.items()}
        for path, body in served.items():
            server.serve(path, body)
        mirrors = mirrors or (f"{server.url}/none/", f"{server.url}/good/")
        files = tuple(
            published.PublishedFile(
                f"{n}.gz",
                tuple(f"{mirror}{n}.gz" for mirror in mirrors),
                1,
                md5(served[f"/good/{n}.gz"]),
                md5(c) if content else "",
            )
            for n, c in contents.items()
        )
        spec = replace(published.IDX_SETS[name], files=files, rows=ROWS, elsewhere=())
        monkeypatch.setitem(published.IDX_SETS, name, spec)

    return publish


def check(dataset):
    assert dataset.image_shape == (28, 28)
    assert len(dataset.classes) == 10
    for part, images, labels in zip((dataset.train, dataset.test), IMAGES, LABELS, strict=True):
        assert part.x.dtype == np.uint8
        np.testing.assert_array_equal(part.x, images.reshape(-1, 784))
        assert part.y.tolist() == labels.tolist()


def test_a_set_is_downloaded_once_from_the_mirror_that_works(small, server, tmp_path):
    small()
    check(load("mnist", data_dir=tmp_path))
    asked = len(server.requests)
    assert asked == 8
    check(load("mnist", data_dir=tmp_path))
    assert len(server.requests) == asked
    assert sorted(p.name for p in (tmp_path / "MNIST/raw").iterdir()) == sorted(
        f"{name}.gz" for name in FILES
    )


def test_the_folder_may_be_named_by_the_environment(small, tmp_path, monkeypatch):
    small()
    monkeypatch.setenv("MLP_JAX_DATA", str(tmp_path / "data"))
    check(load("mnist"))
    assert (tmp_path / "data/MNIST/raw").is_dir()
    monkeypatch.delenv("MLP_JAX_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    check(load("mnist"))
    assert (tmp_path / "home/mlp-jax/MNIST/raw").is_dir()


@pytest.mark.parametrize("level", [None, 1, 9])
@pytest.mark.parametrize("mark", ["-", "."])
def test_files_that_are_there_are_used_however_they_are_compressed(
    small, server, contents, tmp_path, level, mark
):
    small()
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        name = name.replace("-idx", f"{mark}idx")
        if level is None:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, level))
    check(load("mnist", data_dir=tmp_path))
    assert server.requests == []


def test_a_file_of_another_checksum_is_not_used_but_downloaded_again(
    small, server, contents, tmp_path
):
    small()
    load("mnist", data_dir=tmp_path)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz"
    changed = bytearray(contents["train-images-idx3-ubyte"])
    changed[500] ^= 1
    for wrong in (gzip.compress(bytes(changed)), path.read_bytes()[:-30], b""):
        path.write_bytes(wrong)
        check(load("mnist", data_dir=tmp_path))


def test_without_a_network_the_damaged_file_is_named(small, nobody, contents, tmp_path):
    small(mirrors=(f"{nobody}/",))
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(DataFileError) as caught:
        load("mnist", data_dir=tmp_path)
    assert f"'{path}' is not the published file: md5:" in str(caught.value)
    assert f"put t10k-labels-idx1-ubyte.gz into '{folder}'" in str(caught.value)


def test_without_a_network_the_message_says_which_files_to_put_where(small, nobody, tmp_path):
    small(mirrors=(f"{nobody}/",))
    with pytest.raises(DataFileError) as caught:
        load("mnist", data_dir=tmp_path)
    assert str(caught.value) == (
        f"'mnist' is not on this machine, and could not be downloaded"
        f" ({nobody.removeprefix('http://')}: no connection):"
        " put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz"
        f" and t10k-labels-idx1-ubyte.gz into '{tmp_path}/MNIST/raw'."
    )


def test_where_nobody_publishes_a_checksum_of_the_content_the_first_use_records_one(
    small, server, contents, tmp_path
):
    small(content=False, name="kmnist")
    check(load("kmnist", data_dir=tmp_path))
    folder = tmp_path / "KMNIST/raw"
    recorded = json.loads((folder / "checksums.json").read_text())
    assert recorded == {
        f"{name}.gz": "sha256:" + hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
    }
    asked = len(server.requests)
    changed = bytearray(contents["train-images-idx3-ubyte"])
    changed[500] ^= 1
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(changed)))
    check(load("kmnist", data_dir=tmp_path))
    assert len(server.requests) > asked


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train-images-idx3-ubyte", IMAGES[0][:5], r"uint8 of shape \(5, 28, 28\), not"),
        ("train-images-idx3-ubyte", IMAGES[0].astype(np.int16), "holds int16"),
        ("train-labels-idx1-ubyte", LABELS[0] + 1, "labels from 1 to 10, not from 0 to 9"),
        ("t10k-labels-idx1-ubyte", LABELS[1][:, None], r"shape \(4, 1\), not uint8 of shape \(4,"),
    ],
)
def test_without_any_checksum_the_structure_must_be_right(
    small, nobody, contents, tmp_path, name, array, words
):
    small(content=False, name="kmnist", mirrors=(f"{nobody}/",))
    folder = tmp_path / "KMNIST/raw"
    folder.mkdir(parents=True)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    write_idx(folder / name, array)
    with pytest.raises(DataFileError, match=words):
        load("kmnist", data_dir=tmp_path)


@pytest.fixture
def letters(monkeypatch, server):
    """The letters of EMNIST in an archive: labels from 1, images on their side."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for n, images, labels in zip(("train", "test"), IMAGES, LABELS, strict=True):
            for kind, array in (
                ("images-idx3", images.transpose(0, 2, 1)),
                ("labels-idx1", labels + np.uint8(1)),
            ):
                header = bytes([0, 0, 8, array.ndim])
                header += b"".join(size.to_bytes(4, "big") for size in array.shape)
                name = f"gzip/emnist-letters-{n}-{kind}-ubyte.gz"
                archive.writestr(name, gzip.compress(header + array.tobytes()))
    content = body.getvalue()
    spec = published.IDX_SETS["emnist:letters"]
    file = published.PublishedFile(
        "gzip.zip", (server.serve("/gzip.zip", content),), len(content), md5(content)
    )
    monkeypatch.setitem(
        published.IDX_SETS, "emnist:letters", replace(spec, archive=file, rows=ROWS)
    )
    return content


def test_emnist_comes_from_its_archive_and_upright(letters, server, tmp_path):
    for _ in range(2):
        dataset = load("emnist:letters", data_dir=tmp_path)
        assert dataset.classes == tuple("abcdefghijklmnopqrstuvwxyz")
        assert dataset.test is not None
        for part, images, labels in zip((dataset.train, dataset.test), IMAGES, LABELS, strict=True):
            assert part.x.dtype == np.uint8
            np.testing.assert_array_equal(part.x, images.reshape(-1, 784))
            assert part.y.tolist() == labels.tolist()
    assert len(server.requests) == 1
    assert not (tmp_path / "EMNIST/raw/gzip.zip").exists()


def test_an_archive_put_there_by_hand_is_unpacked_and_left_there(letters, server, tmp_path):
    folder = tmp_path / "EMNIST/raw"
    folder.mkdir(parents=True)
    (folder / "gzip.zip").write_bytes(letters)
    assert len(load("emnist:letters", data_dir=tmp_path).train) == 6
    assert server.requests == []
    assert (folder / "gzip.zip").is_file()


def test_without_a_network_the_archive_is_what_to_put_there(letters, nobody, monkeypatch, tmp_path):
    spec = published.IDX_SETS["emnist:letters"]
    archive = replace(spec.archive, urls=(f"{nobody}/gzip.zip",))
    monkeypatch.setitem(published.IDX_SETS, "emnist:letters", replace(spec, archive=archive))
    with pytest.raises(DataFileError, match=f"put gzip.zip into '{tmp_path}/EMNIST/raw'"):
        load("emnist:letters", data_dir=tmp_path)


def test_every_split_of_emnist_has_the_classes_of_its_paper():
    # Cohen, Afshar, Tapson & van Schaik 2017, table II.
    sizes = {
        "byclass": (62, 814255),
        "bymerge": (47, 814255),
        "balanced": (47, 131600),
        "letters": (26, 145600),
        "digits": (10, 280000),
        "mnist": (10, 70000),
    }
    for split, (n_classes, n_rows) in sizes.items():
        spec = published.IDX_SETS[f"emnist:{split}"]
        assert (len(set(spec.classes)), sum(spec.rows)) == (n_classes, n_rows)
