"""Checksums of files: compared with what is published, else with what the first use recorded."""

import gzip
import hashlib
import json
from pathlib import Path

from mlp_jax.data.file_errors import GZIP_DAMAGE, GZIP_MAGIC
from mlp_jax.data.sources.published import PublishedFile
from mlp_jax.errors import DataFileError, RunFolderError
from mlp_jax.files import write_json_atomic

RECORD = "checksums.json"
_CHUNK = 1 << 20


def algorithm_of(checksum: str) -> str:
    """The algorithm of "md5:…" or "sha256:…"; sha256 where there is no checksum."""
    return checksum.partition(":")[0] or "sha256"


def is_published(path: Path, file: PublishedFile) -> bool:
    """Return True if a file is the published one, as served or by its decompressed bytes."""
    if file.checksum and checksum_of(path, algorithm_of(file.checksum)) == file.checksum:
        return True
    return bool(file.content) and content_of(path, algorithm_of(file.content)) == file.content


def checksum_of(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file's bytes, as "algorithm:digest"."""
    import pooch

    return f"{algorithm}:{pooch.file_hash(str(path), alg=algorithm)}"


def content_of(path: Path, algorithm: str) -> str:
    """The checksum of a file's bytes after decompression; "" for a damaged gzip file."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if packed else raw as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except GZIP_DAMAGE:
            return ""
    return f"{algorithm}:{digest.hexdigest()}"


def recorded(path: Path) -> str:
    """The checksum that the first use of a file recorded beside it, or ""."""
    return _records(path.parent).get(path.name, "")


def check_recorded(path: Path, found: str) -> None:
    """Compare a checksum with the recorded one; record it where there is none and one can write.

    Raises DataFileError where they differ.
    """
    known = recorded(path)
    if not known:
        _write(path.parent, _records(path.parent) | {path.name: found})
    elif known != found:
        raise DataFileError(
            f"'{path}' has changed since it was first used: {found} instead of {known}."
        )


def forget(path: Path) -> None:
    """Leave a file out of the record, before another takes its place."""
    records = _records(path.parent)
    if records.pop(path.name, ""):
        _write(path.parent, records)


def _write(folder: Path, records: dict[str, str]) -> None:
    """A folder that only others may write keeps no record."""
    try:
        write_json_atomic(folder / RECORD, dict(sorted(records.items())))
    except RunFolderError:
        return


def _records(folder: Path) -> dict[str, str]:
    try:
        records = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        records = None
    if not isinstance(records, dict) or not all(isinstance(v, str) for v in records.values()):
        raise DataFileError(
            f"'{folder / RECORD}' is not a record of checksums: delete it to have it rewritten."
        )
    return records
