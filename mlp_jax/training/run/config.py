"""Configuration of a run: one frozen record for the command line and for TOML files.

The functions also read, write and compare the configuration of a sweep.
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
RENAMED = {"lanes": "shards"}  # keys of earlier configuration files


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
    """Return the configuration of a run from a TOML file; see `read_options`."""
    return read_options(path, TrainConfig())


def read_options(path: Path, default: Options) -> Options:
    """Return the options of a TOML file, with defaults for those that it omits.

    Args:
        path: the file. Keys are option names, with - or _.
        default: record with the defaults.

    Raises:
        InputError: for an unknown key, with the nearest known one, or a value of the wrong type.
        DataFileError: for a file that cannot be read.
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
        name = RENAMED.get(name, name)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{path} has an unknown key '{key}'.{hint}")
        values[name] = _typed(path, key, value, known[name])
    record: Any = default
    found: Options = replace(record, **values)
    return found


def run_config(folder: Path) -> TrainConfig:
    """Return the configuration of a run; raise RunFolderError if the folder has none."""
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(f"{folder} holds no run: it has no {CONFIG_FILE}.")
    return read_config(folder / CONFIG_FILE)


def _typed(path: Path, key: str, value: Any, hint: Any) -> Any:
    """Return a TOML value in the type of the field."""
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
    """Return the options as TOML, without None and without the run folder."""
    import tomli_w

    content = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in NOT_OF_THE_RUN
    }
    known = {key: value for key, value in content.items() if value is not None}
    return as_unicode(tomli_w.dumps(known))


def resumed_config(saved: TrainConfig, requested: TrainConfig, folder: str) -> TrainConfig:
    """Return the configuration of a resumed run: the saved one, with the changes that are allowed.

    The learning-rate schedule keeps its length unless `schedule_epochs` is given. Raises InputError
    that lists all other changes.
    """
    refuse_changes(saved, requested, f"The run in {folder}", MAY_CHANGE)
    horizon = requested.schedule_epochs
    if horizon == saved.schedule_epochs and requested.epochs != saved.epochs:
        horizon = saved.schedule_epochs or saved.epochs
    return replace(requested, out=None, resume=None, schedule_epochs=horizon)


def refuse_changes(saved: Any, requested: Any, subject: str, may_change: Sequence[str]) -> None:
    """Raise InputError that lists changed options of a run or sweep that must stay the same."""
    different = [
        field.name
        for field in fields(saved)
        if field.name not in (*may_change, *NOT_OF_THE_RUN)
        and getattr(saved, field.name) != getattr(requested, field.name)
    ]
    if different:
        changes = ", ".join(
            f"{name.replace('_', '-')} was {_shown(getattr(saved, name))} and is now"
            f" {_shown(getattr(requested, name))}"
            for name in different
        )
        raise InputError(f"{subject} cannot resume with changed options: {changes}.")


def _shown(value: Any) -> str:
    """Return an option's value for a message."""
    if value is None or value == ():
        return "unset"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
