"""Get a published file from its mirrors: resumed or thrown away when broken, never used unchecked.

pooch does the transfer. A file has its final name only when it is whole and its checksum, where
one is known, is right; before, it is `.NAME.part` beside it. What is left of a broken transfer is
resumed (HTTP Range) only where a checksum will tell whether the halves belong together.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from mlp_jax.data.sources.checksums import is_published
from mlp_jax.data.sources.progress import transfer_bar
from mlp_jax.data.sources.published import PublishedFile
from mlp_jax.errors import DataFileError

if TYPE_CHECKING:
    import requests

TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces
TRIES = 2
_CHUNK = 1 << 16


class DownloadError(DataFileError):
    """No mirror gave the file; the message is a phrase: each mirror and what was wrong with it."""


class _BrokenError(Exception):
    """One transfer failed, for a reason worth trying again."""


class _UselessError(Exception):
    """One mirror has nothing for us."""


def download(file: PublishedFile, folder: Path) -> Path:
    """The file, from the first mirror that has it right, in `folder`, which is made if need be.

    A file of that name that was there before is replaced. Processes that want files in one folder
    wait for each other. Raises DownloadError, DataFileError for a folder that cannot be written.
    """
    target, part = folder / file.name, folder / f".{file.name}.part"
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            if target.is_file() and is_published(target, file):
                return target
            for url in file.urls:
                try:
                    _from_mirror(url, part, file)
                except _UselessError as error:
                    reasons.append(f"{urlsplit(url).netloc}: {error}")
                    continue
                part.replace(target)
                return target
    except OSError as error:
        raise DataFileError(
            f"'{file.name}' cannot be written into '{folder}': {error.strerror or error}."
        ) from None
    raise DownloadError("; ".join(reasons))


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into the folder."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _from_mirror(url: str, part: Path, file: PublishedFile) -> None:
    """Fill `part` with the file from one mirror, or leave in it what can be resumed and raise."""
    checked = bool(file.checksum or file.content)
    reason = ""
    for _ in range(TRIES):
        if not checked:
            part.unlink(missing_ok=True)
        resumed = part.exists() and part.stat().st_size > 0
        try:
            _transfer(url, part, file.name)
        except _UselessError as error:
            reason = str(error)
            break
        except _BrokenError as error:
            reason = str(error)
            continue
        if not checked or is_published(part, file):
            return
        part.unlink()
        reason = "its file has another checksum"
        if not resumed:
            break
    if part.exists() and not (checked and part.stat().st_size):
        part.unlink()
    raise _UselessError(reason)


def _transfer(url: str, part: Path, name: str) -> None:
    """Append to `part` what is missing, or write it anew where the server cannot resume."""
    import pooch
    import requests

    with part.open("ab") as file, transfer_bar(name) as bar:
        start = file.tell()
        fetch = pooch.HTTPDownloader(
            chunk_size=_CHUNK,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"}
            | ({"Range": f"bytes={start}-"} if start else {}),
            hooks={"response": _checked_start(file, start, bar.expect)},
        )
        try:
            fetch(url, _Told(file, bar.advance), None)
        except requests.RequestException as error:
            raise _BrokenError(_phrase(error)) from None


def _checked_start(
    file: IO[bytes], start: int, expect: Callable[[int, int], None]
) -> Callable[..., None]:
    """Return a hook that checks where the body of a response starts, before it is read."""

    def look(response: "requests.Response", *_: object, **__: object) -> None:
        length = int(response.headers.get("Content-Length", 0))
        if response.status_code == 200:
            file.truncate(0)
            expect(0, length)
        elif response.status_code == 206:
            begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if not begins or int(begins[1]) != start:
                file.truncate(0)
                raise _BrokenError("it resumes in the wrong place")
            expect(start, start + length)
        elif response.status_code == 416:
            file.truncate(0)
            raise _BrokenError("it cannot resume")
        elif response.status_code >= 400:
            raise _UselessError(f"{response.status_code} {response.reason}")

    return look


class _Told:
    """A file that tells how much was written to it."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance

    def write(self, chunk: bytes) -> None:
        """Write a piece."""
        self._file.write(chunk)
        self._advance(len(chunk))

    def flush(self) -> None:
        """Nothing: the file is flushed when it is closed."""


def _phrase(error: Exception) -> str:
    import requests

    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "timed out"
    if isinstance(
        error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError
    ):
        return "the transfer broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return text or type(error).__name__
