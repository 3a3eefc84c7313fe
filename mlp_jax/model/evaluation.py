"""A saved model on data by name or file: load them as training does, judge, tell."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlp_jax.files import plain
from mlp_jax.model.rows import load_for
from mlp_jax.model.saved import Model


def judge(
    model: Model,
    data: str,
    *,
    targets: Sequence[str] = (),
    names: Sequence[str] = (),
    data_dir: Path | None = None,
    separator: str | None = None,
) -> dict[str, float]:
    """`Model.evaluate` of data as `load` takes them; targets: the model's own unless given.

    separator: of a text file; None finds it.
    """
    rows = load_for(model.inputs, model.target, data, targets, data_dir, separator)
    return model.evaluate(rows, names)


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
