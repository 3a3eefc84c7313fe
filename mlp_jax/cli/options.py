"""Options in typed records, read from a command line by tyro; the files that it asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro

from mlp_jax.errors import InputError, RunFolderError

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


def take_config(
    words: list[str],
    default: Options,
    read: Callable[[Path], Options],
    of_folder: Callable[[Path], Options],
    what: str,
) -> tuple[Options, list[str]]:
    """(the defaults, the other words): from --config FILE, or from the folder to --resume.

    The folder is among the other words too. what: "run" or "sweep", for the error of a word that
    is missing.
    """
    rest = []
    remaining = iter(words)
    for word in remaining:
        name, given, value = word.partition("=")
        if name not in ("--config", "--resume"):
            rest.append(word)
            continue
        if not given:
            following = next(remaining, None)
            if following is None:
                needed = "a TOML file" if name == "--config" else f"the folder of a {what}"
                raise InputError(f"{name} needs {needed}.")
            value = following
        if name == "--resume":
            rest += [name, value]
            default = of_folder(Path(value))
        else:
            default = read(Path(value))
    return default, rest


def write_text(path: Path, text: str) -> None:
    """Writes a file that the user asked for; RunFolderError where there is no such folder."""
    from mlp_jax.files import write_text_atomic

    if not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    write_text_atomic(path, text)
