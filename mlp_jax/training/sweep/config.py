"""The options of a sweep: those of a run, with ranges where a run has a number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.training.run.config import TrainConfig, read_options, refuse_changes
from mlp_jax.training.run.options import SharedOptions, Words
from mlp_jax.training.sweep.ranges import Range, parse_shapes

SWEEP_FILE = "sweep.toml"
RANGED = {  # what a number lies in: [low, high)
    "learning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "dropout": (0.0, 1.0),
    "label_smoothing": (0.0, 1.0),
}
MAY_CHANGE = ("checkpoint_every", "keep", "device", "data_dir")

Text = Annotated[str, tyro.conf.arg(metavar="RANGE")]
OptionalText = Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="RANGE")]


@dataclass(frozen=True)
class SweepConfig(SharedOptions):
    """Everything that `mlp-jax sweep` can be told. The docstrings of the fields are its help."""

    hidden: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WIDTHS ...")] = ("64", "64")
    """64 64 is one shape; 64,64 128,128 are two"""
    learning_rate: Text = "1e-4:1e-1:log"
    """LOW:HIGH, LOW:HIGH:log, A,B,C or a number"""
    weight_decay: OptionalText = None
    """a range; else the optimizer's"""
    dropout: Text = "0"
    """a range of rates after each hidden layer"""
    label_smoothing: Text = "0"
    """a range, for the cross-entropies"""
    metrics: Words = ()
    """each epoch, as f1 log_loss; the first one ranks"""
    seed: int = 0
    """of the draws, the split, the order, a trial's first network"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """the sweep's folder; else a new one under runs/"""
    resume: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="SWEEP")] = None
    """go on with that sweep, by its own options"""
    trials: int = 32
    """random draws from the ranges, a shape"""
    seeds: int = 1
    """networks a trial, for the spread"""

    def ranges(self) -> dict[str, Range]:
        """What is drawn from, by name; InputError for what is no range, or goes too far."""
        found = {}
        for name, (low, high) in RANGED.items():
            text, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if text is None:
                continue
            found[name] = Range.parse(option, text)
            if not all(low <= end < high for end in found[name].ends):
                where = f"lies in [{low:g}, {high:g})"
                raise InputError(f"The range {option} {text} goes too far: each number {where}.")
        return found

    def shapes(self) -> list[tuple[int, ...]]:
        """The widths of each shape; InputError for what is no width."""
        return parse_shapes(self.hidden)

    def of_a_run(self) -> TrainConfig:
        """What all trials share, as a run's configuration; shape and numbers at their defaults."""
        own = {"hidden", "trials", "seeds", *RANGED}
        shared = {field.name for field in fields(SharedOptions)} - own
        return TrainConfig(**{name: getattr(self, name) for name in shared})


def read_sweep(path: Path) -> SweepConfig:
    """The options of a sweep in a TOML file: the defaults, with what the file says."""
    return read_options(path, SweepConfig())


def sweep_config(folder: Path) -> SweepConfig:
    """The options of the sweep in a folder; RunFolderError where it holds none."""
    if not (folder / SWEEP_FILE).is_file():
        raise RunFolderError(f"{folder} holds no sweep: it has no {SWEEP_FILE}.")
    return read_sweep(folder / SWEEP_FILE)


def check_same(saved: SweepConfig, asked: SweepConfig, folder: Path) -> None:
    """InputError where a sweep is asked to go on with options that may not change."""
    refuse_changes(saved, asked, f"The sweep in {folder}", MAY_CHANGE)


def named_numbers(ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The names of the numbers that differ between trials."""
    return tuple(name for name, span in ranges.items() if not span.fixed)
