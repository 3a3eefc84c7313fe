"""From the options of `mlp-jax sweep` to its folder."""

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mlp_jax.proof import Report
from mlp_jax.training.config import TrainConfig
from mlp_jax.training.folder import check_folder, new_folder
from mlp_jax.training.many.ranges import Range, parse_shapes
from mlp_jax.training.many.results import Columns, leave_behind, ranked_table
from mlp_jax.training.many.sweep import Search, draw_trials, sweep, trial_config
from mlp_jax.training.setup import build

RANGED = ("learning_rate", "weight_decay", "dropout", "label_smoothing")


def run_sweep(options: Any, say: Callable[[str], None] = print) -> Path:
    """Loads, proves, trains all trials, ranks them, and leaves the sweep's folder behind.

    options: a record with the fields of `mlp-jax sweep`. Raises InputError for what does not fit.
    """
    check_folder(options.out)
    given = asdict(options)
    ranges = {
        name: Range.parse(f"--{name.replace('_', '-')}", given[name])
        for name in RANGED
        if given[name] is not None
    }
    search = Search(tuple(parse_shapes(options.hidden)), ranges, options.trials, options.seeds)
    same = {field.name for field in fields(TrainConfig)} - {*RANGED, "hidden"}
    base = TrainConfig(**{name: value for name, value in given.items() if name in same})
    trials = draw_trials(search, base.seed)
    parts = build(trial_config(base, trials[0]))
    said: list[Report] = []

    def proved(report: Report) -> None:
        if not said:
            say(f"\n{report}\n")
        said.append(report)

    found = sweep(search, base, parts, say, proved)
    numbers = tuple(name for name, span in ranges.items() if not span.fixed)
    columns = Columns(numbers, parts.metrics[0])
    folder = new_folder(options.out, f"{Path(base.data).stem}-sweep")
    metrics = leave_behind(folder, found, parts, columns, given)
    say(f"\n{ranked_table(found.ranked, columns)}\n")
    for name, value in metrics.items():
        say(f"test {name} of the best: {value:.4f}")
    say(f"sweep: {folder}")
    return folder
