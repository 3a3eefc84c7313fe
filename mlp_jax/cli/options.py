"""Options in typed records, read from a command line by tyro; the files that it asks for."""

from pathlib import Path
from typing import Any, TypeVar

import tyro

from mlp_jax.errors import RunFolderError

Options = TypeVar("Options")
_MARKERS = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.HelptextFromCommentsOff,
    tyro.conf.DisallowNone,
)


def parse(record: type[Options], command: str, about: str, words: list[str], default: Any) -> Any:
    """The record with what the words say; tyro explains itself and exits with 2 where it cannot."""
    return tyro.cli(
        record,
        prog=f"mlp-jax {command}",
        description=about,
        args=words,
        default=default,
        config=_MARKERS,
    )


def write_text(path: Path, text: str) -> None:
    """Writes a file that the user asked for; RunFolderError where there is no such folder."""
    from mlp_jax.files import write_text_atomic

    if not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    write_text_atomic(path, text)
