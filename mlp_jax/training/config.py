"""The configuration of a run: one frozen record, the same names on the command line and in TOML."""

import difflib
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import tyro

from mlp_jax.errors import DataFileError, InputError

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
    """digits fashion_mnist mnist kmnist idx:FOLDER FILE.npz"""
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
    """or cosine one-cycle linear step warm-up"""
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
    seed: int = 0
    """of split, weights, order and dropout"""
    precision: Word = None
    """float32, tf32, bf16 or float64"""
    device: Word = None
    """cpu or gpu"""
    histograms: Switch = False
    """of weights and gradients, for TensorBoard"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """the run's folder; else a new one under runs/"""


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

    content = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "out"}
    return tomli_w.dumps({key: value for key, value in content.items() if value is not None})
