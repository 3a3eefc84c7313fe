"""Unpack a zip or tar file that nobody vouches for: nothing outside the folder, no links, a bound.

Everything is unpacked into a folder of its own first and moved to its place when all of it is
known to be good, so that a refused archive leaves nothing behind.
"""

import gzip
import io
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from mlp_jax.data.bounds import as_size
from mlp_jax.errors import DataFileError

_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


@runtime_checkable
class _Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


class _RefusedError(Exception):
    """Why an archive is not unpacked: the end of a sentence that starts with its name."""


def extract(archive: Path, folder: Path, *, bound: int) -> list[Path]:
    """Unpack a zip or tar(.gz) into a folder; the files that are there afterwards.

    Raises DataFileError, with nothing left behind, for a member whose path is absolute or climbs
    out, for a link or a device, for more than `bound` bytes, declared or real, and for damage.
    """
    staging = folder / f".unpacking-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        if zipfile.is_zipfile(archive):
            names = list(_unzip(archive, staging, bound))
        else:
            names = list(_untar(archive, staging, bound))
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


def _unzip(archive: Path, staging: Path, bound: int) -> Iterator[str]:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            _check_path(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _RefusedError(f"has a member '{member.filename}' that is a link or a device")
        _check_size(sum(member.file_size for member in members), bound)
        left = bound
        for member in members:
            if not member.is_dir():
                with opened.open(member) as source:
                    left -= _write(source, staging / member.filename, left, bound)
                yield member.filename


def _untar(archive: Path, staging: Path, bound: int) -> Iterator[str]:
    """The whole stream is bounded too, for its headers are kept in memory."""
    declared, left = 0, bound
    with _opened(archive) as raw:
        stream = _Bounded(raw, 2 * bound + _CHUNK, bound)
        with tarfile.open(fileobj=stream, mode="r|") as opened:
            for member in opened:
                _check_path(member.name)
                if not (member.isreg() or member.isdir()):
                    raise _RefusedError(f"has a member '{member.name}' that is a link or a device")
                declared += member.size
                _check_size(declared, bound)
                source = opened.extractfile(member)
                if source is not None:
                    left -= _write(source, staging / member.name, left, bound)
                    yield member.name
        while stream.read(_CHUNK):  # to the end, where gzip has its checksum
            pass


@contextmanager
def _opened(archive: Path) -> Iterator[_Readable]:
    with archive.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield stream


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than a number of bytes."""

    def __init__(self, stream: _Readable, left: int, bound: int) -> None:
        self._stream, self._left, self._bound = stream, left, bound

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        data = self._stream.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _RefusedError(f"inflates to more than {as_size(self._bound)}")
        return data


def _check_path(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":" or "\0" in name:
        raise _RefusedError(f"has a member '{name}' that would lie outside the folder")


def _check_size(declared: int, bound: int) -> None:
    if declared > bound:
        raise _RefusedError(f"would inflate to {as_size(declared)}, more than {as_size(bound)}")


def _write(source: _Readable, target: Path, left: int, bound: int) -> int:
    """Copy a member; how many bytes it had, which must not be more than are left of the bound."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > left:
                raise _RefusedError(f"inflates to more than {as_size(bound)}")
            file.write(chunk)
    return written
