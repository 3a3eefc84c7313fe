"""Typed option records, parsed from a command line by tyro; output files of commands."""

import re
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.training.fit_options import Shown

Options = TypeVar("Options")
_MARKERS = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.HelptextFromCommentsOff,
    tyro.conf.DisallowNone,
    tyro.conf.OmitArgPrefixes,
)


def parse(record: type[Options], command: str, about: str, words: list[str], default: Any) -> Any:
    """Return the record with the options of the command line.

    Each base class of a record without fields is a group of the help; any other record is one
    group. tyro explains an option that it cannot read, and exits with 2.
    """
    groups: list[Any] = [record]
    if not vars(record).get("__annotations__"):  # all of its options come from its bases
        groups = [base for base in record.__bases__ if is_dataclass(base)]
    aliases: dict[str, str] = {}
    for group in groups:
        aliases |= _write_markers(group)
    nested = make_dataclass(
        "Options",
        [(_title(group), group, field(default=_part(group, default))) for group in groups],
    )
    found: Any = tyro.cli(
        nested,
        prog=f"mlp-jax {command}",
        description=about,
        args=[_without_alias(word, aliases) for word in words],
        config=_MARKERS,
    )
    values: dict[str, Any] = {}
    for group in groups:
        part = getattr(found, _title(group))
        values |= {f.name: getattr(part, f.name) for f in fields(group)}
    return record(**values)


def _write_markers(group: Any) -> dict[str, str]:
    """Add tyro's markers to those of `Shown` in the annotations of a group; return the aliases.

    tyro would show an alias beside its option, which makes the help half as long again.
    """
    aliases: dict[str, str] = {}
    for base in group.__mro__:
        for name, hint in vars(base).get("__annotations__", {}).items():
            shown = next((m for m in getattr(hint, "__metadata__", ()) if type(m) is Shown), None)
            if shown is None:
                continue
            marker = tyro.conf.arg(
                metavar=shown.metavar, help_behavior_hint=None if shown.default else ""
            )
            base.__annotations__[name] = Annotated[hint.__origin__, shown, marker]
            aliases |= dict.fromkeys(shown.aliases, f"--{name.replace('_', '-')}")
    return aliases


def _without_alias(word: str, aliases: dict[str, str]) -> str:
    """Return a word of the command line with the option's name in the place of an alias."""
    name, given, value = word.partition("=")
    return aliases.get(name, name) + given + value


def _title(group: Any) -> str:
    """Return the title of a group in the help: RangedModelOptions as model."""
    words = re.findall("[A-Z][a-z]*", group.__name__)
    return "_".join(word.lower() for word in words if word not in ("Options", "Ranged"))


def _part(group: Any, whole: Any) -> Any:
    """Return the options of a group from a whole record."""
    return group(**{f.name: getattr(whole, f.name) for f in fields(group)})


def take_config(
    words: list[str],
    default: Options,
    read: Callable[[Path], Options],
    of_folder: Callable[[Path], Options],
    what: str,
) -> tuple[Options, list[str]]:
    """Return the defaults from --config FILE or from the folder of --resume, and the other words.

    The folder stays among the other words. what: "run" or "sweep", for the error of a missing
    value.
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


def write_text(output: str, text: str) -> None:
    """Write an output file of a command, or print it for "-".

    Raises:
        RunFolderError: if its folder does not exist.
    """
    from mlp_jax.files import write_text_atomic

    if output == "-":
        print(text.rstrip("\n"))
        return
    path = Path(output)
    if not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    write_text_atomic(path, text)
