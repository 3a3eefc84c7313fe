"""Options of a training: each declared, typed, documented and checked here, and nowhere else.

`FitOptions` is what `fit`, `fit_many` and `fit_ensemble` take. The records of the commands inherit
its bases, so that an option added there is also a keyword of `fit`, a
command-line option and a key of the configuration file. The docstring of a field is its help text.
"""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import numpy as np
import optax

from mlp_jax.backprop import Ensemble, Layer
from mlp_jax.data import Scaling
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.compatibility import (
    PRIVATE_OPTIMIZERS,
    PRIVATE_PRECISIONS,
    check_compatible,
)
from mlp_jax.training.input.validate import Rows, check_seed
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.private.config import Privacy


@dataclass(frozen=True)
class Shown:
    """Presentation of an option in the help: placeholder, aliases, and whether to show its default.

    The command line reads it; importing the package does not import the command line's library.
    """

    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    default: bool = False


Word = Annotated[str | None, Shown("NAME")]
Number = Annotated[float | None, Shown()]
Count = Annotated[int | None, Shown()]
Switch = Annotated[bool, Shown()]
Words = Annotated[tuple[str, ...], Shown("NAME ...")]
Mesh = Annotated[str | None, Shown("AXES")]

SELECT = ("best", "last")
BATCH_SIZE = 64
PRIVATE_BATCH_SIZE = 2048


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Training."""

    epochs: int = 30
    """passes over the training rows"""
    batch_size: Count = None
    """examples per step (default: 64, or all rows if there are fewer; 2048 for private runs)"""
    patience: Count = None
    """stop after this many epochs without improvement of the validation metric"""
    average: Annotated[float | None, Shown(aliases=("--ema",))] = None
    """decay of a moving average of the weights (also --ema)"""
    class_weight: Word = None
    """balanced: every class has the same total weight"""
    metrics: Words = ()
    """metrics on the validation rows after each epoch: accuracy top5 f1 log_loss roc_auc …"""
    importance: Count = None
    """experimental: draw each batch from a pool of this many batches, by gradient size"""
    seed: int = 0
    """seed of the split, the initial weights, the shuffling and dropout"""


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Device and precision."""

    precision: Word = None
    """float32, tf32, bf16 or float64 (default: tf32 on a GPU that has it, otherwise float32)"""
    device: Word = None
    """cpu or gpu (default: the GPU if there is one)"""
    devices: Count = None
    """number of devices to use (default: all GPUs, or one CPU)"""


@dataclass(frozen=True, kw_only=True)
class SingleNetworkOptions:
    """Training of one network: weights to keep, schedule, and how it is split to save memory."""

    select: Word = None
    """weights to keep: best or last epoch (default: best if there are validation rows)"""
    schedule_epochs: Count = None
    """epochs that the learning-rate schedule spans (default: epochs)"""
    mesh: Mesh = None
    """split examples and weights over devices, such as data=4,model=2"""
    shard_optimizer: Switch = False
    """split the state of the optimizer over the data axis too"""
    accumulate: int = 1
    """process each batch in this many parts, to save memory"""
    recompute: Annotated[bool, Shown(aliases=("--grad-checkpointing",))] = False
    """recompute activations in the backward pass, to save memory (also --grad-checkpointing)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class FitOptions(TrainingOptions, SingleNetworkOptions, DeviceOptions):
    """Options of `fit`, `fit_many` and `fit_ensemble`.

    Besides the fields of its bases, which the commands share:

    Args:
        validation: rows (x, y) to evaluate after each epoch, or the fraction of the data to hold
            out, stratified by class.
        sample_weight: weight of each row of the data, shape (N,).
        class_weight: "balanced", or one weight per class, shape (C,).
        scaling: scaling of the inputs (default: pixels are standardized, other inputs are not).
        target_scaling: scaling of real targets; undone in predictions and metrics.
        metrics: names of metrics; empty for the usual ones of the task, ("loss",) for none.
        monitor: the metric that chooses the best epoch, or "loss" (default: the first metric).
        start: (parameters, layer state) to start from, as `network.init` returns them, with None
            at a child that is initialized anew.
        diagnostics: measure layer health and gradient noise every few epochs.
        privacy: budget for differential privacy by DP-SGD; `batch_size` is the expected one then.

    Raises:
        InputError: for a value of the wrong type or out of range.
    """

    validation: Rows | float | None = None
    """validation rows, or the fraction of the data to hold out"""
    class_weight: str | Sequence[float] | None = None  # type: ignore[assignment]
    """balanced, or one weight per class"""
    metrics: Sequence[str] | None = ()  # type: ignore[assignment]
    """metrics on the validation rows; empty for the usual ones of the task"""
    sample_weight: Any = None
    """weight of each training row"""
    scaling: Scaling | None = None
    """scaling of the inputs"""
    target_scaling: Scaling | None = None
    """scaling of real targets"""
    monitor: str | None = None
    """metric that chooses the best epoch"""
    start: tuple[Any, Any] | None = field(default=None, repr=False)
    """parameters and layer state to start from"""
    diagnostics: bool = False
    """measure layer health and gradient noise"""
    privacy: Privacy | None = None
    """privacy budget"""

    def __post_init__(self) -> None:
        metrics = () if self.metrics is None else tuple(self.metrics)
        object.__setattr__(self, "metrics", metrics)
        _check_types(self)
        _check_ranges(self)

    def batch_size_for(self, n: int) -> int:
        """Return the number of examples per step for n training rows."""
        usual = BATCH_SIZE if self.privacy is None else PRIVATE_BATCH_SIZE
        return min(usual, n) if self.batch_size is None else self.batch_size

    def takes_best(self, *, validated: bool) -> bool:
        """Return whether the weights of the best epoch are kept, rather than of the last one.

        Args:
            validated: whether there are validation rows.
        """
        if self.privacy is not None or not validated:
            return False
        return self.patience is not None or self.select != "last"


def fit_options(options: FitOptions | None, keywords: dict[str, Any]) -> FitOptions:
    """Return the options with the keywords in place of theirs.

    Raises:
        TypeError: for a keyword that is not an option, with the nearest name.
    """
    known = [f.name for f in fields(FitOptions)]
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise TypeError(f"There is no training option '{name}'.{hint}")
    return replace(FitOptions() if options is None else options, **keywords)


def shared_values(record: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return the values of the options that a command's record shares with `FitOptions`."""
    names = {f.name for part in FitOptions.__bases__ for f in fields(part)}
    own = {f.name for f in fields(record)}
    return {name: getattr(record, name) for name in names & own if name not in without}


WHOLE = ("epochs", "batch_size", "patience", "importance", "schedule_epochs", "seed", "devices",
         "accumulate")  # fmt: skip
REAL = ("average",)
ON_OFF = ("shard_optimizer", "recompute", "diagnostics")
NAMES = ("select", "monitor", "precision", "device", "mesh")


def _check_types(options: FitOptions) -> None:
    """Raise InputError for a value of the wrong type; whole numbers of NumPy become Python's."""
    for name in (*WHOLE, *REAL, *ON_OFF, *NAMES):
        value = getattr(options, name)
        if value is None:
            continue
        plain: type = int
        if name in WHOLE:
            fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            wanted = "a whole number"
        elif name in REAL:
            fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            wanted, plain = "a number", float
        elif name in ON_OFF:
            fits, wanted, plain = isinstance(value, (bool, np.bool_)), "True or False", bool
        else:
            fits, wanted, plain = isinstance(value, str), "a name", str
        if not fits:
            raise InputError(f"The option {name} must be {wanted}, not {value!r}.")
        object.__setattr__(options, name, plain(value))


def _check_ranges(options: FitOptions) -> None:
    """Raise InputError for a number that no training can use."""
    if options.epochs < 1:
        raise InputError(f"Training needs at least 1 epoch, not {options.epochs}.")
    for name in ("batch_size", "patience", "importance", "schedule_epochs", "devices"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"The option {name} must be at least 1, not {value}.")
    if options.accumulate < 1:
        raise InputError(f"The option accumulate must be at least 1, not {options.accumulate}.")
    check_seed(options.seed)
    average = options.average
    if average is not None and not (0 < average < 1 and math.isfinite(average)):
        raise InputError(f"The option average must lie between 0 and 1, not {average}.")
    if options.select not in (None, *SELECT):
        raise UnknownNameError("selection of weights", options.select, SELECT)


def check_options(
    options: FitOptions,
    network: Layer,
    optimizer: Optimizer | optax.GradientTransformation,
    *,
    streamed: bool,
    many: bool,
    precision: str,
) -> None:
    """Raise InputError for options of `fit` or `fit_many` that exclude each other.

    Args:
        streamed: whether the training rows stay in their files.
        many: whether several networks train together.
        precision: name of the chosen precision.
    """
    name = optimizer.name if isinstance(optimizer, Optimizer) else ""
    usual = FitOptions()
    changed = {
        option: getattr(options, option) != getattr(usual, option)
        for option in ("accumulate", "batch_size", "diagnostics", "importance", "mesh",
                       "recompute", "shard_optimizer")
    }  # fmt: skip
    active = changed | {
        "batch_norm": network.couples_examples,
        "class_weight": options.class_weight is not None,
        "devices": options.devices not in (None, 1),
        "patience": options.patience is not None,
        "ensemble_network": isinstance(network, Ensemble),
        "kfac": name == "kfac",
        "lbfgs": isinstance(optimizer, Optimizer) and optimizer.full_batch,
        "many": many,
        "other_optimizer": bool(name) and name not in PRIVATE_OPTIMIZERS,
        "other_precision": precision not in PRIVATE_PRECISIONS,
        "private": options.privacy is not None,
        "sample_weight": options.sample_weight is not None,
        "select_best": options.select == "best",
        "start": options.start is not None,
        "stateful_layer": network.has_state and not network.couples_examples,
        "stream": streamed,
        "validation_share": isinstance(options.validation, (int, float)),
    }
    check_compatible(active)
