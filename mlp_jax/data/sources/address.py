"""A file at an http(s) address: downloaded once into the data folder, then read like any file."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from mlp_jax.data.sources.checksums import check_recorded, checksum_of, forget
from mlp_jax.data.sources.download import DownloadError, download
from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.sources.published import PublishedFile
from mlp_jax.errors import DataFileError, InputError, MlpJaxError

PREFIXES = ("http://", "https://")
Read = TypeVar("Read")


def load_address(
    url: str,
    read: Callable[[Path], Read],
    suffixes: tuple[str, ...],
    data_dir: str | os.PathLike[str] | None = None,
) -> Read:
    """Read the file at an address, whose name must end in one of `suffixes`, with `read`.

    The copy in the data folder is used as long as it is there and unchanged; one that `read`
    refuses is not kept. Raises DataFileError, InputError.
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name.lower().endswith(suffixes):
        raise InputError(f"The file at '{url}' must end in one of {', '.join(suffixes)}.")
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    folder = data_folder(data_dir) / "downloads" / key
    path = folder / name.replace("\\", "_").replace("\0", "_")
    is_new = not path.is_file()
    if is_new:
        try:
            download(PublishedFile(name=path.name, urls=(url,), n_bytes=0), folder)
        except DownloadError as error:
            raise DataFileError(
                f"'{url}' could not be downloaded ({error}): put the file at '{path}'."
            ) from None
        forget(path)
    check_recorded(path, checksum_of(path))
    try:
        return read(path)
    except MlpJaxError:
        if is_new:
            path.unlink()
            forget(path)
        raise
