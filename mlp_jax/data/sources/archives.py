"""Unpack an untrusted zip or tar file: nothing outside the folder, no links, a bounded size."""

import gzip
import io
import shutil
import stat
import tarfile
import uuid
import zipfile
from pathlib import Path, PurePosixPath

from mlp_jax.data.bounds import as_size
from mlp_jax.data.file_errors import GZIP_DAMAGE, GZIP_MAGIC
from mlp_jax.errors import DataFileError

_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, *GZIP_DAMAGE)


class _RefusedError(Exception):
    """The reason for refusing an archive: the end of a sentence that starts with its name."""


def extract(archive: Path, folder: Path, *, bound: int) -> list[Path]:
    """Unpack a zip or tar(.gz) file into a folder.

    Members are unpacked into a staging folder first and moved once all of them are good, so that
    a refused archive leaves nothing behind.

    Args:
        archive: the file.
        folder: the folder to unpack into.
        bound: the most bytes that the members may have, declared or real.

    Returns:
        The unpacked files.

    Raises:
        DataFileError: for a member whose path is absolute or leads outside the folder, a link or
            a device, more than `bound` bytes, or a damaged archive.
    """
    staging = folder / f".unpacking-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        unpack = _unzip if zipfile.is_zipfile(archive) else _untar
        unpack(archive, staging, bound)
        names = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except _RefusedError as refusal:
        raise DataFileError(f"'{archive}' {refusal}, so it was not unpacked.") from None
    except _DAMAGE as error:
        raise DataFileError(f"'{archive}' is damaged: {error}.") from None
    except (RuntimeError, NotImplementedError) as error:
        raise DataFileError(f"'{archive}' cannot be unpacked: {error}.") from None
    except OSError as error:
        raise DataFileError(
            f"'{archive}' cannot be unpacked into '{folder}': {error.strerror or error}."
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [folder / name for name in names]


def _unzip(archive: Path, staging: Path, bound: int) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check(member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        _check_size(sum(member.file_size for member in members), bound)
        opened.extractall(staging)


def _untar(archive: Path, staging: Path, bound: int) -> None:
    with archive.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        # The stream is bounded as well, for the headers of members are read into memory.
        stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw, bound)
        declared = 0
        with tarfile.open(fileobj=stream, mode="r|") as opened:
            for member in opened:
                _check(member.name, member.isreg() or member.isdir())
                declared += member.size
                _check_size(declared, bound)
                opened.extract(member, staging, filter="data")
        while stream.read(_CHUNK):  # to the end, where gzip has its checksum
            pass


class _Bounded(io.RawIOBase):
    """A stream that refuses to read far beyond `bound` bytes."""

    def __init__(self, stream: io.BufferedIOBase, bound: int) -> None:
        self._stream, self._bound, self._left = stream, bound, 2 * bound + _CHUNK

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        data = self._stream.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _RefusedError(f"inflates to more than {as_size(self._bound)}")
        return data


def _check(name: str, plain: bool) -> None:
    """Refuse a path outside the folder, and what is neither a file nor a folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":" or "\0" in name:
        raise _RefusedError(f"has a member '{name}' that would lie outside the folder")
    if not plain:
        raise _RefusedError(f"has a member '{name}' that is a link or a device")


def _check_size(declared: int, bound: int) -> None:
    if declared > bound:
        raise _RefusedError(f"would inflate to {as_size(declared)}, more than {as_size(bound)}")
