"""The configuration of a run: one frozen record, the same names on the command line and in TOML."""

import difflib
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import tyro

from mlp_jax.errors import DataFileError, InputError, RunFolderError

Word = Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="NAME")]
Number = Annotated[float | None, tyro.conf.arg(help_behavior_hint="")]
Count = Annotated[int | None, tyro.conf.arg(help_behavior_hint="")]
Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="NAME ...")]
Widths = Annotated[tuple[int, ...], tyro.conf.arg(metavar="INT ...")]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that `mlp-jax train` can be told. The docstrings of the fields are its help."""

    data: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = "digits"
    """a name (`mlp-jax datasets`), FILE or folder, URL, openml:NAME, hf:NAME"""
    target: Words = ()
    """columns of a table to predict, by name or index"""
    task: Word = None
    """classification or regression; else what the target looks like"""
    numeric: Words = ()
    """columns to take as numbers"""
    categorical: Words = ()
    """columns to take as categories"""
    date: Words = ()
    """columns to take as dates"""
    drop: Words = ()
    """columns to leave out"""
    no_header: Switch = False
    """the file's first line is a row"""
    scaling: str = "standard"
    """a table's numbers: standard, robust or quantile"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where named sets are; else $MLP_JAX_DATA"""
    hidden: Widths = (256, 256)
    """widths of the hidden layers"""
    activation: str = "relu"
    """by name; a wrong one lists all"""
    loss: Word = None
    """by name; else what suits the targets"""
    label_smoothing: float = 0.0
    """for the cross-entropies"""
    dropout: float = 0.0
    """rate after each hidden layer"""
    norm: Word = None
    """layer, rms or batch, before each activation"""
    residual: Switch = False
    """shortcuts around layers of equal width"""
    optimizer: str = "adam"
    """by name; a wrong one lists all"""
    learning_rate: Number = None
    """else a usual one for the optimizer"""
    schedule: str = "constant"
    """or cosine, one-cycle, linear, step, warm-up"""
    warm_up: float = 0.0
    """share of the run in which the rate rises"""
    weight_decay: Number = None
    """decoupled, on weight matrices only"""
    clip_norm: Number = None
    """bound on the norm of the gradient"""
    batch_size: Count = None
    """examples a step; else 64, or all where there are fewer"""
    epochs: int = 30
    """passes over the training rows"""
    patience: Count = None
    """stop after so many epochs without a better one"""
    select: str = "best"
    """weights of the best epoch on validation rows, or last"""
    ensemble: int = 1
    """networks trained at once that predict with their mean"""
    average: Number = None
    """decay of a moving average of the weights"""
    class_weight: Word = None
    """balanced: every class counts the same"""
    metrics: Words = ()
    """each epoch: accuracy top5 f1 log_loss roc_auc …"""
    validation: Number = None
    """share of the training rows; else 0.1, 2000 at most"""
    test: float = 0.2
    """share, for data without test rows"""
    split_column: Word = None
    """a table's column that says train, validation or test"""
    group_column: Word = None
    """a table's column whose equal values stay in one part"""
    seed: int = 0
    """of split, weights, order and dropout"""
    precision: Word = None
    """float32, tf32, bf16 or float64"""
    device: Word = None
    """cpu or gpu"""
    deterministic: Switch = False
    """the same bits each time on a GPU too, if slower"""
    histograms: Switch = False
    """of weights and gradients, for TensorBoard"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """the run's folder; else a new one under runs/"""
    checkpoint_every: str = "20s"
    """or '500 steps', '2 epochs', never"""
    keep: int = 3
    """checkpoints that stay, at least 2"""
    schedule_epochs: Count = None
    """what the schedule is stretched over; else epochs"""
    init_from: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="RUN")] = None
    """start from the model of that run"""
    resume: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="RUN")] = None
    """go on with that run, by its own options"""


CONFIG_FILE = "config.toml"
NOT_OF_THE_RUN = ("out", "resume")
MAY_CHANGE = (
    "epochs",
    "schedule_epochs",
    "checkpoint_every",
    "keep",
    "histograms",
    "device",
    "data_dir",
)

TYPES: dict[str, Any] = get_type_hints(TrainConfig)


def read_config(path: Path) -> TrainConfig:
    """The configuration in a TOML file: the defaults, with what the file says.

    Keys are the option names, with - or _. InputError for a key that does not exist (with the
    nearest) or a value of the wrong type, DataFileError for a file that cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataFileError(f"Cannot read the configuration {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TOML file: {error}.") from None
    known = {field.name for field in fields(TrainConfig)}
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{path} has a key '{key}' that does not exist.{hint}")
        values[name] = _typed(path, key, value, TYPES[name])
    return replace(TrainConfig(), **values)


def run_config(folder: Path) -> TrainConfig:
    """The configuration of a run; RunFolderError where the folder holds none."""
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(f"{folder} holds no run: it has no {CONFIG_FILE}.")
    return read_config(folder / CONFIG_FILE)


def _typed(path: Path, key: str, value: Any, hint: Any) -> Any:
    """The TOML value as the field's type."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not NoneType]
    if hint in (tuple[int, ...], tuple[str, ...]):
        item = get_args(hint)[0]
        if isinstance(value, list) and all(type(v) is item for v in value):
            return tuple(value)
        raise InputError(f"In {path}, '{key}' must be a list of {item.__name__}, not {value!r}.")
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        raise InputError(f"In {path}, '{key}' must be {kinds[0].__name__}, not {value!r}.")
    return value


def to_toml(config: TrainConfig) -> str:
    """The configuration as TOML, to run again: what is None is left out, and the run's folder."""
    import tomli_w

    content = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in NOT_OF_THE_RUN
    }
    return tomli_w.dumps({key: value for key, value in content.items() if value is not None})


def resumed_config(saved: TrainConfig, asked: TrainConfig, folder: str) -> TrainConfig:
    """The configuration that a run goes on by: the saved one, with what may change as asked.

    The schedule stays stretched over what it was, unless `schedule_epochs` is asked for. InputError
    for any other field that differs, each one named.
    """
    different = [
        field.name
        for field in fields(TrainConfig)
        if field.name not in (*MAY_CHANGE, *NOT_OF_THE_RUN)
        and getattr(saved, field.name) != getattr(asked, field.name)
    ]
    if different:
        said = ", ".join(
            f"{name.replace('_', '-')} is {_said(getattr(saved, name))} there and"
            f" {_said(getattr(asked, name))} here"
            for name in different
        )
        raise InputError(f"The run in {folder} cannot go on with other options: {said}.")
    horizon = asked.schedule_epochs
    if horizon == saved.schedule_epochs and asked.epochs != saved.epochs:
        horizon = saved.schedule_epochs or saved.epochs
    return replace(asked, out=None, resume=None, schedule_epochs=horizon)


def _said(value: Any) -> str:
    if value is None or value == ():
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
