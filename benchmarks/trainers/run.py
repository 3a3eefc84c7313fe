"""`mlp-jax bench trainers`: measures the points, tells, and leaves tables, JSON and a picture."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from mlp_jax.bench.results import check_places, write_result
from mlp_jax.errors import DeviceError, UnknownNameError
from trainers.grid import choose_points
from trainers.measure import bench_trainers
from trainers.report import draw_result, print_result

PICTURE = "trainers.png"
DEVICES = ("cpu", "gpu")


def run(
    names: tuple[str, ...],
    rounds: int,
    command: str,
    *,
    precision: str | None = None,
    quick: bool = False,
    device: str | None = None,
    json: Path | None = None,
    plots: Path | None = None,
) -> dict[str, Any]:
    """Measures the points of those names, prints the tables, writes what is asked for.

    Returns the record of the results file. Before anything is measured: RunFolderError where a
    result has no place, UnknownNameError for a point, precision or device that there is not,
    DeviceError for a GPU that JAX does not see.
    """
    check_places(json, plots)
    if device is not None and device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    gpu = None if device == "cpu" else seen_gpu()
    if device == "gpu" and gpu is None:
        raise DeviceError("JAX sees no GPU here: leave --device out, or say --device cpu.")
    points = choose_points(names, gpu is not None, precision)
    if quick:
        points = tuple(point.quick() for point in points)
    found = bench_trainers(points, rounds, lambda text: print(text, flush=True), gpu=gpu)
    record = {"command": command, **found}
    print_result(record)
    if json is not None:
        write_result(json, record)
        print(f"results: {json}")
    if plots is not None:
        draw_result(record, plots / PICTURE)
        print(f"picture: {plots / PICTURE}")
    return record


def seen_gpu() -> str | None:
    """The GPU that JAX computes on here, by name; asked in a process of its own, which lets go."""
    code = "import jax; d = jax.devices()[0]; print(d.platform, d.device_kind, sep=':')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    kind, _, name = done.stdout.strip().rpartition("\n")[2].partition(":")
    return name if kind == "gpu" else None
