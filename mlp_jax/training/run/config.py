"""The configuration of a run: one frozen record, the same names on the command line and in TOML.

A sweep's is read, written and compared by the same functions.
"""

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from mlp_jax.errors import DataFileError, InputError, RunFolderError
from mlp_jax.files import as_path_text, as_unicode
from mlp_jax.training.fit_options import DeviceOptions, SingleNetworkOptions, TrainingOptions
from mlp_jax.training.run.options import (
    DataOptions,
    DiagnosticsOptions,
    ModelOptions,
    OptimizerOptions,
    PrivateOptions,
    ProcessOptions,
    RecipeOptions,
    RunOptions,
    StreamOptions,
)

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(
    DataOptions,
    RecipeOptions,
    ModelOptions,
    OptimizerOptions,
    TrainingOptions,
    SingleNetworkOptions,
    DeviceOptions,
    StreamOptions,
    PrivateOptions,
    DiagnosticsOptions,
    ProcessOptions,
    RunOptions,
):
    """Options of `mlp-jax train`. Each base class is a group of its help."""


CONFIG_FILE = "config.toml"
NOT_OF_THE_RUN = ("out", "resume", "distributed", "coordinator", "processes", "process_id")
MAY_CHANGE = (
    "epochs",
    "schedule_epochs",
    "checkpoint_every",
    "keep",
    "diagnostics",
    "histograms",
    "device",
    "devices",
    "mesh",
    "shard_optimizer",
    "recompute",
    "data_dir",
)


def read_config(path: Path) -> TrainConfig:
    """The configuration of a run in a TOML file, as `read_options` reads it."""
    return read_options(path, TrainConfig())


def read_options(path: Path, default: Options) -> Options:
    """What a TOML file says, over the default.

    Keys are the option names, with - or _. InputError for a key that does not exist (with the
    nearest) or a value of the wrong type, DataFileError for a file that cannot be read.
    """
    try:
        content = tomllib.loads(as_path_text(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataFileError(f"Cannot read the configuration {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from None
    known: dict[str, Any] = get_type_hints(type(default))
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{path} has a key '{key}' that does not exist.{hint}")
        values[name] = _typed(path, key, value, known[name])
    record: Any = default
    found: Options = replace(record, **values)
    return found


def run_config(folder: Path) -> TrainConfig:
    """The configuration of a run; RunFolderError where the folder holds none."""
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(f"{folder} holds no run: it has no {CONFIG_FILE}.")
    return read_config(folder / CONFIG_FILE)


def _typed(path: Path, key: str, value: Any, hint: Any) -> Any:
    """The TOML value as the field's type."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not NoneType]
    if hint in (tuple[int, ...], tuple[float, ...], tuple[str, ...]):
        item = get_args(hint)[0]
        fits = (int, float) if item is float else (item,)
        if isinstance(value, list) and all(type(v) in fits for v in value):
            return tuple(map(item, value))
        raise InputError(f"In {path}, '{key}' must be a list of {item.__name__}, not {value!r}.")
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        raise InputError(f"In {path}, '{key}' must be {kinds[0].__name__}, not {value!r}.")
    return value


def to_toml(config: Any) -> str:
    """The options as TOML, to run again: what is None is left out, and the run's folder."""
    import tomli_w

    content = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in NOT_OF_THE_RUN
    }
    known = {key: value for key, value in content.items() if value is not None}
    return as_unicode(tomli_w.dumps(known))


def resumed_config(saved: TrainConfig, asked: TrainConfig, folder: str) -> TrainConfig:
    """The configuration that a run goes on by: the saved one, with what may change as asked.

    The schedule stays stretched over what it was, unless `schedule_epochs` is asked for. InputError
    for any other field that differs, each one named.
    """
    refuse_changes(saved, asked, f"The run in {folder}", MAY_CHANGE)
    horizon = asked.schedule_epochs
    if horizon == saved.schedule_epochs and asked.epochs != saved.epochs:
        horizon = saved.schedule_epochs or saved.epochs
    return replace(asked, out=None, resume=None, schedule_epochs=horizon)


def refuse_changes(saved: Any, asked: Any, what: str, may_change: Sequence[str]) -> None:
    """InputError where `what` is asked to go on with options that may not change, each named."""
    different = [
        field.name
        for field in fields(saved)
        if field.name not in (*may_change, *NOT_OF_THE_RUN)
        and getattr(saved, field.name) != getattr(asked, field.name)
    ]
    if different:
        said = ", ".join(
            f"{name.replace('_', '-')} is {_said(getattr(saved, name))} there and"
            f" {_said(getattr(asked, name))} here"
            for name in different
        )
        raise InputError(f"{what} cannot go on with other options: {said}.")


def _said(value: Any) -> str:
    if value is None or value == ():
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
