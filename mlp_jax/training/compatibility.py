"""Table of options that exclude each other, with reason and remedy.

`fit`, `fit_many` and the commands reject a pair of the table with the same sentence.
`docs/options.md` shows the table; `markdown` generates it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mlp_jax.errors import InputError

PRIVATE_OPTIMIZERS = (
    "sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb", "muon",
)  # fmt: skip
PRIVATE_PRECISIONS = ("float32", "float64")


class Exclusion(NamedTuple):
    """Two settings that exclude each other.

    Attributes:
        option, excluded_by: names of settings, as in `SETTINGS`.
        reason: why; completes "A cannot be combined with B: …".
        remedy: what to do instead, an imperative sentence without its full stop.
    """

    option: str
    excluded_by: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        option = SETTINGS[self.option]
        return (
            f"{option[0].upper()}{option[1:]} cannot be combined with"
            f" {SETTINGS[self.excluded_by]}: {self.reason}. {self.remedy}."
        )


OPTIONS = (
    "accumulate", "batch_size", "class_weight", "devices", "diagnostics", "group_column",
    "histograms", "importance", "init_from", "mesh", "patience", "recompute", "sample_weight",
    "shard_optimizer", "split_column", "start",
)  # fmt: skip

SETTINGS = {name: f"the option {name}" for name in OPTIONS} | {
    "batch_norm": "batch norm",
    "distributed": "distributed training",
    "ensemble": "an ensemble",
    "ensemble_network": "an ensemble as one network",
    "kfac": "the optimizer kfac",
    "lbfgs": "the optimizer lbfgs",
    "many": "networks that train together",
    "other_optimizer": "this optimizer",
    "other_precision": "this precision",
    "preset": "a preset",
    "private": "private training",
    "select_best": "select best",
    "stateful_layer": "a layer with running statistics",
    "stream": "streamed rows",
    "validation_share": "a fraction of the rows for validation",
}
"""Names of settings in sentences."""

_ALL_ROWS = "it needs all training rows at once"
_IN_MEMORY = "Leave out stream, so that the rows are loaded into memory"

EXCLUSIONS = (
    Exclusion("lbfgs", "stream", "it uses all rows in every step", "Use another optimizer"),
    Exclusion("validation_share", "stream", "the rows are not counted by class in advance",
              "Give validation rows, or use the option --validation of mlp-jax train"),
    Exclusion("sample_weight", "stream", _ALL_ROWS, _IN_MEMORY),
    Exclusion("class_weight", "stream", _ALL_ROWS, _IN_MEMORY),
    Exclusion("importance", "stream", "it draws from a pool of rows on the device", _IN_MEMORY),
    Exclusion("private", "stream", "each step draws from all rows", _IN_MEMORY),
    Exclusion("ensemble", "stream", "each member reads the rows in its own order", _IN_MEMORY),
    Exclusion("many", "stream", "each network reads the rows in its own order", _IN_MEMORY),
    Exclusion("split_column", "stream", _ALL_ROWS, "Use one file per split, or leave out stream"),
    Exclusion("group_column", "stream", _ALL_ROWS, _IN_MEMORY),
    Exclusion("preset", "stream", "its recipe depends on all rows", _IN_MEMORY),
    Exclusion("histograms", "stream", "they need rows on the device between epochs", _IN_MEMORY),
    Exclusion("batch_norm", "private",
              "it couples the examples, so they have no separate gradients to clip",
              "Use layer or rms norm"),
    Exclusion("stateful_layer", "private", "its statistics are not protected",
              "Leave the layer out"),
    Exclusion("ensemble_network", "private", "its members are not clipped one by one",
              "Train one network"),
    Exclusion("other_optimizer", "private",
              "it uses more than the noised gradient of the rows",
              f"Use one of {', '.join(PRIVATE_OPTIMIZERS)}"),
    Exclusion("other_precision", "private",
              "its rounding would lengthen gradients that are already clipped",
              "Use float32 or float64"),
    Exclusion("importance", "private", "it draws rows by their gradients", "Leave it out"),
    Exclusion("sample_weight", "private", "it would undo the clipping", "Leave it out"),
    Exclusion("class_weight", "private", "it is counted from the rows", "Leave it out"),
    Exclusion("patience", "private",
              "the noise is chosen for all epochs, and validation rows are not protected",
              "Leave it out"),
    Exclusion("select_best", "private", "validation rows are not protected", "Use select last"),
    Exclusion("start", "private", "what those weights reveal about the rows is not counted",
              "Leave it out"),
    Exclusion("init_from", "private", "what that model reveals about the rows is not counted",
              "Leave it out"),
    Exclusion("diagnostics", "private", "they show gradients of single batches", "Leave them out"),
    Exclusion("histograms", "private", "they show gradients of single batches", "Leave them out"),
    Exclusion("ensemble", "private", "every member would spend the whole budget",
              "Train one network"),
    Exclusion("many", "private", "every network would spend the whole budget",
              "Train one network"),
    Exclusion("mesh", "private", "private training runs on one device", "Leave it out"),
    Exclusion("devices", "private", "private training runs on one device", "Leave it out"),
    Exclusion("accumulate", "private", "a step clips the batch as a whole", "Leave it out"),
    Exclusion("distributed", "private", "private training runs on one device",
              "Train in one process"),
    Exclusion("distributed", "histograms", "they are computed by one process alone",
              "Leave out histograms"),
    Exclusion("accumulate", "batch_norm",
              "gradients of parts of a batch do not add up, because mean and variance are those"
              " of the whole batch", "Use layer or rms norm"),
    Exclusion("accumulate", "kfac", "it needs the curvature of the whole batch",
              "Use another optimizer"),
    Exclusion("many", "kfac", "each network would invert its matrices in every step",
              "Use another optimizer"),
    Exclusion("importance", "batch_norm", "the batch's mean and variance would ignore the weights"
              " of the drawn rows", "Use layer or rms norm"),
    Exclusion("batch_size", "lbfgs", "it uses all rows in every step", "Leave batch_size out"),
    Exclusion("importance", "lbfgs", "it uses all rows in every step", "Leave importance out"),
    *(
        Exclusion(name, "many", "each network runs as a whole on one device", "Leave it out")
        for name in ("mesh", "shard_optimizer", "accumulate", "recompute")
    ),
    Exclusion("start", "many", "each network starts from its own random weights", "Leave it out"),
    Exclusion("diagnostics", "many", "they are computed for one network at a time",
              "Leave them out"),
    Exclusion("init_from", "ensemble", "each member starts from its own random weights",
              "Leave it out"),
)  # fmt: skip
"""Every pair of settings that exclude each other."""


def check_compatible(active: Mapping[str, bool]) -> None:
    """Raise InputError for the first pair of the table whose settings are both active.

    Args:
        active: for each setting whether it is active; one that is absent is not.
    """
    for exclusion in EXCLUSIONS:
        if active.get(exclusion.option) and active.get(exclusion.excluded_by):
            raise InputError(str(exclusion))


def command_settings(config: Any) -> dict[str, bool]:
    """Return which settings are active in the options of `mlp-jax train`.

    What depends on the data or the network is left to `fit`, which checks the same table.
    """
    return {
        "accumulate": config.accumulate != 1,
        "batch_norm": config.norm == "batch",
        "batch_size": config.batch_size is not None,
        "class_weight": config.class_weight is not None,
        "devices": config.devices not in (None, 1),
        "distributed": config.distributed,
        "patience": config.patience is not None,
        "ensemble": config.ensemble != 1,
        "group_column": config.group_column is not None,
        "histograms": config.histograms,
        "importance": config.importance is not None,
        "init_from": config.init_from is not None,
        "kfac": config.optimizer == "kfac",
        "lbfgs": config.optimizer == "lbfgs",
        "many": config.ensemble != 1,
        "mesh": config.mesh is not None,
        "other_optimizer": config.optimizer not in PRIVATE_OPTIMIZERS,
        "other_precision": config.precision not in (None, *PRIVATE_PRECISIONS),
        "preset": config.preset is not None,
        "private": config.private,
        "recompute": config.recompute,
        "select_best": config.select == "best",
        "shard_optimizer": config.shard_optimizer,
        "split_column": config.split_column is not None,
        "stream": config.stream,
    }


def check_command(config: Any) -> None:
    """Raise InputError for options of `mlp-jax train` that exclude each other."""
    check_compatible(command_settings(config))


def markdown() -> str:
    """Return the table as Markdown."""
    rows = ["| setting | excluded by | reason | remedy |", "|---|---|---|---|"]
    rows += [
        f"| {SETTINGS[e.option]} | {SETTINGS[e.excluded_by]} | {e.reason} | {e.remedy} |"
        for e in EXCLUSIONS
    ]
    return "\n".join(rows) + "\n"
