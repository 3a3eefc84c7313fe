"""Options of a sweep: those of a run, with ranges in place of some numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.training.fit_options import DeviceOptions, Shown, TrainingOptions
from mlp_jax.training.run.config import TrainConfig, read_options, refuse_changes
from mlp_jax.training.run.options import (
    DataOptions,
    ProcessOptions,
    RunOptions,
    SharedModelOptions,
    SharedOptimizerOptions,
)
from mlp_jax.training.sweep.ranges import Range, parse_shapes

SWEEP_FILE = "sweep.toml"
RANGED = {  # valid values: [low, high)
    "learning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "dropout": (0.0, 1.0),
    "label_smoothing": (0.0, 1.0),
}
MAY_CHANGE = ("checkpoint_every", "keep", "device", "data_dir")

Text = Annotated[str, Shown("RANGE", default=True)]
OptionalText = Annotated[str | None, Shown("RANGE")]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Search."""

    trials: int = 32
    """number of random trials per shape"""
    seeds: int = 1
    """number of networks per trial, with different seeds, to measure the spread"""


@dataclass(frozen=True, kw_only=True)
class RangedModelOptions(SharedModelOptions):
    """Network and loss."""

    hidden: Annotated[tuple[str, ...], Shown("WIDTHS ...", default=True)] = ("64", "64")
    """widths of the hidden layers: 64 64 is one shape, 64,64 128,128 are two"""
    dropout: Text = "0"
    """dropout rate after each hidden layer: a number or a range"""
    label_smoothing: Text = "0"
    """label smoothing of the cross-entropy loss: a number or a range"""


@dataclass(frozen=True, kw_only=True)
class RangedOptimizerOptions(SharedOptimizerOptions):
    """Optimizer."""

    learning_rate: Annotated[str, Shown("RANGE", ("--lr",), default=True)] = "1e-4:1e-1:log"
    """peak learning rate: LOW:HIGH, LOW:HIGH:log, A,B,C or a number"""
    weight_decay: OptionalText = None
    """decoupled weight decay: a number or a range (default: chosen by the optimizer)"""


@dataclass(frozen=True, kw_only=True)
class SweepConfig(
    DataOptions,
    SearchOptions,
    RangedModelOptions,
    RangedOptimizerOptions,
    TrainingOptions,
    DeviceOptions,
    ProcessOptions,
    RunOptions,
):
    """Options of `mlp-jax sweep`. Each base class is a group of its help."""

    def ranges(self) -> dict[str, Range]:
        """Return the ranges by name; raise InputError for an invalid range."""
        found = {}
        for name, (low, high) in RANGED.items():
            text, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if text is None:
                continue
            found[name] = Range.parse(option, text)
            if not all(low <= end < high for end in found[name].ends):
                raise InputError(f"The range {option} {text} must lie in [{low:g}, {high:g}).")
        return found

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the hidden widths of each shape; raise InputError for an invalid width."""
        return parse_shapes(self.hidden)

    def of_a_run(self) -> TrainConfig:
        """Return the options shared by all trials as a run's configuration."""
        own = {"hidden", "trials", "seeds", *RANGED}
        shared = {field.name for field in fields(self)} - own
        return TrainConfig(**{name: getattr(self, name) for name in shared})


def read_sweep(path: Path) -> SweepConfig:
    """Return the options of a sweep from a TOML file, with defaults for those that it omits."""
    return read_options(path, SweepConfig())


def sweep_config(folder: Path) -> SweepConfig:
    """Return the options of the sweep in a folder; raise RunFolderError if there is none."""
    if not (folder / SWEEP_FILE).is_file():
        raise RunFolderError(f"{folder} holds no sweep: it has no {SWEEP_FILE}.")
    return read_sweep(folder / SWEEP_FILE)


def check_same(saved: SweepConfig, requested: SweepConfig, folder: Path) -> None:
    """Raise InputError if a resumed sweep changes options that must stay the same."""
    refuse_changes(saved, requested, f"The sweep in {folder}", MAY_CHANGE)


def named_numbers(ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """Return the names of the hyperparameters that differ between trials."""
    return tuple(name for name, span in ranges.items() if not span.fixed)
