import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from mlp_jax.data import load
from mlp_jax.data.sources import published
from mlp_jax.errors import DataFileError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([9, 0, 3, 4, 5, 1, 2], np.uint8)


def records(rows, label_bytes):
    """Red, then green, then blue, after the labels; where there are two, the second counts."""
    labels = np.stack([19 - LABELS[rows], LABELS[rows]], axis=1)[:, 2 - label_bytes :]
    planes = COLOURS[rows].transpose(0, 3, 1, 2).reshape(len(labels), -1)
    return np.concatenate([labels, planes], axis=1).tobytes()


def packed(folder, files):
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return body.getvalue()


@pytest.fixture
def files(monkeypatch, server):
    """CIFAR-10 of five files of one image, CIFAR-100 of one file of five; two to test on."""
    names = b"\n".join(b"class %d" % i for i in range(10)) + b"\n\n"
    ten = {f"data_batch_{i}.bin": records([i - 1], 1) for i in range(1, 6)}
    ten |= {"test_batch.bin": records([5, 6], 1), "batches.meta.txt": names}
    hundred = {"train.bin": records(range(5), 2), "test.bin": records([5, 6], 2)}
    hundred["fine_label_names.txt"] = b"\n".join(b"class %d" % i for i in range(100))
    served = {}
    for name, content, rows in (("cifar10", ten, (1, 2)), ("cifar100", hundred, (5, 2))):
        spec = published.CIFAR_SETS[name]
        body = served[name] = packed(spec.folder, content)
        archive = published.PublishedFile(
            spec.archive.name,
            (server.serve(f"/{name}", body),),
            len(body),
            "md5:" + hashlib.md5(body).hexdigest(),
        )
        monkeypatch.setitem(published.CIFAR_SETS, name, replace(spec, archive=archive, rows=rows))
    return served


def offline(monkeypatch, nobody):
    spec = published.CIFAR_SETS["cifar10"]
    archive = replace(spec.archive, urls=(f"{nobody}/x",))
    monkeypatch.setitem(published.CIFAR_SETS, "cifar10", replace(spec, archive=archive))


def check(dataset, n_classes):
    assert dataset.classes == tuple(f"class {i}" for i in range(n_classes))
    assert dataset.image_shape == (32, 32, 3)
    for part, rows in ((dataset.train, slice(5)), (dataset.test, slice(5, 7))):
        assert part.x.dtype == np.uint8
        np.testing.assert_array_equal(part.x.reshape(-1, 32, 32, 3), COLOURS[rows])
        assert part.y.tolist() == LABELS[rows].tolist()


@pytest.mark.parametrize(("name", "n_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_the_binary_version_is_downloaded_unpacked_and_read(
    files, server, tmp_path, name, n_classes
):
    for _ in range(2):
        check(load(name, data_dir=tmp_path), n_classes)
    assert len(server.requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == [published.CIFAR_SETS[name].folder]


def test_a_file_that_changed_or_was_cut_is_unpacked_again(files, server, tmp_path):
    load("cifar10", data_dir=tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    good = path.read_bytes()
    for wrong in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b"\xff" + good[1:]):
        path.write_bytes(wrong)
        check(load("cifar10", data_dir=tmp_path), 10)
        assert path.read_bytes() == good
    assert len(server.requests) == 4


def test_an_archive_put_there_by_hand_is_unpacked_and_left_there(files, server, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(files["cifar10"])
    check(load("cifar10", data_dir=tmp_path), 10)
    assert server.requests == []
    assert path.is_file()


def test_without_a_network_the_message_says_which_file_to_put_where(
    files, nobody, monkeypatch, tmp_path
):
    offline(monkeypatch, nobody)
    with pytest.raises(DataFileError, match=r"cifar-10-binary\.tar\.gz could not be downloaded"):
        load("cifar10", data_dir=tmp_path)
    with pytest.raises(DataFileError, match=f"put it into '{tmp_path}'"):
        load("cifar10", data_dir=tmp_path)


def test_the_pickled_version_is_never_loaded(files, nobody, monkeypatch, tmp_path):
    offline(monkeypatch, nobody)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
    with pytest.raises(
        DataFileError, match="only present as 'cifar-10-batches-py', a pickle, which is never"
    ):
        load("cifar10", data_dir=tmp_path)


def test_files_without_a_record_must_have_the_right_structure(files, nobody, monkeypatch, tmp_path):
    load("cifar10", data_dir=tmp_path)
    offline(monkeypatch, nobody)
    folder = tmp_path / "cifar-10-batches-bin"
    for name, wrong, words in (
        ("batches.meta.txt", b"one\ntwo\n", "names 2 classes, not 10"),
        ("test_batch.bin", bytes(3072), "has 3072 bytes, not the 6146 of 2 images"),
        ("data_batch_1.bin", b"\x0a" + bytes(3072), "has a label 10, but the labels end at 9"),
    ):
        (folder / "checksums.json").unlink()
        good = (folder / name).read_bytes()
        (folder / name).write_bytes(wrong)
        with pytest.raises(DataFileError, match=words):
            load("cifar10", data_dir=tmp_path)
        (folder / name).write_bytes(good)
        check(load("cifar10", data_dir=tmp_path), 10)
