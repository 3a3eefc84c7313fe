import io
import stat
import struct
import tarfile
import zipfile

import pytest

from mlp_jax.data.sources.archives import extract
from mlp_jax.errors import DataFileError

GOOD = {"folder/a.txt": b"alpha", "b.txt": b"beta"}


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def refusal(archive, folder, bound=1000):
    with pytest.raises(DataFileError) as caught:
        extract(archive, folder, bound=bound)
    assert str(archive) in str(caught.value)
    assert not list(folder.iterdir())
    assert not (folder.parent / "evil").exists()
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda path, members: tarred(path, members, "w")],
    ids=["zip", "tar.gz", "tar"],
)  # fmt: skip
def test_the_members_of_an_archive_are_unpacked(tmp_path, folder, pack):
    found = extract(pack(tmp_path / "archive", GOOD), folder, bound=9)
    assert sorted(found) == [folder / "b.txt", folder / "folder" / "a.txt"]
    assert {str(p.relative_to(folder)): p.read_bytes() for p in found} == GOOD
    assert sorted(p.name for p in folder.iterdir()) == ["b.txt", "folder"]


@pytest.mark.parametrize(
    "name", ["../evil", "folder/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "\\evil"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_that_climbs_out_is_refused(tmp_path, folder, pack, name):
    archive = pack(tmp_path / "archive", GOOD | {name: b"evil"})
    assert "would lie outside the folder" in refusal(archive, folder)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_device_in_a_tar_is_refused(tmp_path, folder, kind):
    path = tarred(tmp_path / "archive", GOOD, "w")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "'link' that is a link or a device" in refusal(path, folder)


def test_a_link_in_a_zip_is_refused(tmp_path, folder):
    path = zipped(tmp_path / "archive", GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert "'link' that is a link or a device" in refusal(path, folder)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_what_declares_more_than_the_bound_is_refused(tmp_path, folder, pack):
    archive = pack(tmp_path / "archive", GOOD | {"zeros": bytes(992)})
    assert "would inflate to 1 kB, more than 1 kB" in refusal(archive, folder)
    archive = pack(tmp_path / "archive", {"zeros": bytes(50_000_000)})
    assert "would inflate to 50.0 MB, more than 1 kB" in refusal(archive, folder)


def test_a_zip_that_declares_less_than_it_holds_is_refused(tmp_path, folder):
    path = zipped(tmp_path / "archive", {"zeros": bytes(5_000_000)})
    true, false = struct.pack("<I", 5_000_000), struct.pack("<I", 500)
    content = path.read_bytes()
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, false))
    assert "damaged" in refusal(path, folder)


def test_headers_that_inflate_without_end_are_refused(tmp_path, folder):
    path = tmp_path / "archive"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("small")
        member.pax_headers = {"comment": "x" * 20_000_000}
        archive.addfile(member)
    assert "inflates to more than 1 kB" in refusal(path, folder)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_damaged_archive_is_refused(tmp_path, folder, pack):
    path = pack(tmp_path / "archive", {"a": bytes(range(256)) * 3})
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(bytes(content))
    refusal(path, folder)
    path.write_bytes(bytes(content[:60]))
    refusal(path, folder)
    path.write_bytes(b"no archive at all")
    refusal(path, folder)
