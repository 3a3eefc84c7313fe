"""A saved model on data by name or file: load them as training does, judge, tell."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlp_jax.data.dataset import Dataset
from mlp_jax.data.load import load
from mlp_jax.data.table import Table
from mlp_jax.files import plain
from mlp_jax.model.saved import Model


def judge(
    model: Model,
    data: str,
    *,
    targets: Sequence[str] = (),
    names: Sequence[str] = (),
    data_dir: Path | None = None,
) -> dict[str, float]:
    """`Model.evaluate` of data as `load` takes them; targets: the model's own unless given."""
    return model.evaluate(judged_rows(model, data, targets=targets, data_dir=data_dir), names)


def judged_rows(
    model: Model, data: str, *, targets: Sequence[str] = (), data_dir: Path | None = None
) -> Dataset | Table:
    """The rows by name or file, their targets read as the model's task has them."""
    task = "auto" if model.target.task == "multilabel" else model.target.task
    return load(data, task=task, targets=targets or model.target.names, data_dir=data_dir)


def metrics_table(found: Mapping[str, float], before: Mapping[str, float | None]) -> str:
    """The metrics in a small table, beside those of the run's test rows where there are any."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD, show_edge=False)
    grid.add_column("metric")
    grid.add_column("here", justify="right")
    if before:
        grid.add_column("on the run's test rows", justify="right")
    for name, value in found.items():
        known = before.get(name)
        after = [] if not before else ["" if known is None else f"{known:.4f}"]
        grid.add_row(name, f"{value:.4f}", *after)
    text = io.StringIO()
    Console(file=text, width=80).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def metrics_json(found: Mapping[str, float]) -> str:
    """The metrics as JSON; what is undefined is null."""
    return json.dumps(plain(found), indent=2) + "\n"
