"""`mlp-jax bench gradients`: measure the points, print, and write tables, JSON and pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from mlp_jax.bench.gradients.contenders import Point
from mlp_jax.bench.gradients.measure import Effort, kept_for_backward, measure
from mlp_jax.bench.gradients.tables import gradient_table, memory_table
from mlp_jax.bench.machine import machine_title
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.model.precision import choose_device, choose_precision


def run(
    points: Sequence[Point],
    memory: Sequence[Point],
    command: str,
    *,
    device: str | None = None,
    effort: Effort = Effort(),  # noqa: B008 — frozen
    json: Path | None = None,
    plots: Path | None = None,
) -> dict[str, Any]:
    """Measure `points`, compile `memory`, print both tables, and write the requested files.

    Returns the record of the results file. ProofError if a gradient disagrees: nothing is written
    then. RunFolderError, before anything is measured, if a result cannot be written.
    """
    check_places(json, plots)
    chosen = choose_device(device)
    for precision in {point.precision for point in points}:
        choose_precision(precision, chosen)
    with jax.default_device(chosen):
        kept = [
            kept_for_backward(point)
            for point in _with_progress(memory, "compiling", "networks for their memory")
        ]
        measured = [
            measure(point, effort, device=chosen)
            for point in _with_progress(points, "measuring", "points")
        ]
    record = result(command, chosen, effort.repeats, points=measured, memory=kept)
    if measured:
        print(gradient_table(measured, sys.stdout.isatty()), end="\n\n")
    if kept:
        print(memory_table(kept, sys.stdout.isatty()), end="\n\n")
    print(machine_title(record["machine"]))
    if json is not None:
        write_result(json, record)
        print(f"results: {json}")
    if plots is not None:
        for path in draw(record, plots):
            print(f"picture: {path}")
    return record


def draw(record: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the pictures of a record into the folder."""
    from mlp_jax.bench.gradients.plots import MEMORY, RATIOS, draw_memory, draw_ratios

    drawn = []
    if record["points"]:
        draw_ratios(record["points"], folder / RATIOS, machine_title(record["machine"]))
        drawn.append(folder / RATIOS)
    if record["memory"]:
        draw_memory(record["memory"], folder / MEMORY)
        drawn.append(folder / MEMORY)
    return drawn


def _with_progress(points: Sequence[Point], doing: str, what: str) -> Any:
    """Iterate over the points, with a progress line on a terminal."""
    for number, point in enumerate(points, start=1):
        if sys.stderr.isatty():
            print(f"\r\033[K{doing} {number} of {len(points)} {what}: {point}", end="",
                  file=sys.stderr, flush=True)  # fmt: skip
        yield point
    if points and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
