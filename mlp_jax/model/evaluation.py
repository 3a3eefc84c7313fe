"""Evaluation of a saved model on a named data set or a file."""

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
    """Evaluate a model on data that `load` takes.

    targets: target columns (default: the model's). separator: of a text file (default: detected).
    """
    rows = load_for(model.inputs, model.target, data, targets, data_dir, separator)
    return model.evaluate(rows, names)


def metrics_table(found: Mapping[str, float], before: Mapping[str, float | None]) -> str:
    """Return the metrics as a text table, beside those of the run's test rows if there are any."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD, show_edge=False)
    grid.add_column("metric")
    grid.add_column("on these rows", justify="right")
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
    """Return the metrics as JSON, undefined ones as null."""
    return json.dumps(plain(found), indent=2) + "\n"
