"""`mlp-jax bench trainers`: a whole epoch of training, against what people use.

Every contender trains the same rows from the same weights in the same order, in a process of its
own. None is timed before its loss after the first steps equals ours. Then epochs interleave, round
by round over the contenders, and only one computes at a time.
"""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.bench.grid import Point
from mlp_jax.bench.machine import describe_machine, spread
from mlp_jax.bench.problem import (
    TRIAL_STEPS,
    Problem,
    load_weights,
    make_problem,
    save_problem,
)
from mlp_jax.bench.processes import AbsentError, ContenderProcess, Entrant, threads

OURS = "mlp-jax"
YARDSTICK = "yardstick"
_HERE = "mlp_jax.bench.contenders"
# In float64 two libraries agree to six digits after the first steps. In float32 rounding grows: on
# 12,800 images 784-512-512-10 ends at 0.6021 in JAX, and at 0.6035 in PyTorch and in float64. Hence
# 5e-3. scikit-learn adds Adam's ε to √v before the correction of the bias, the others after it;
# in NumPy's float64 that alone makes it 0.5943 for 0.5918 on 60,000 images. Hence 1e-2 there.
_SCIKIT_LEARN_TOLERANCE = 1e-2
ENTRANTS = (
    Entrant(OURS, "mlp-jax", f"{_HERE}.mlp_jax_fit", "mlp-jax", scan=True),
    Entrant(
        "scikit-learn",
        "scikit-learn MLPClassifier",
        f"{_HERE}.scikit_learn",
        "scikit-learn",
        tolerance=_SCIKIT_LEARN_TOLERANCE,
    ),
    Entrant("torch-eager", "PyTorch eager, fused Adam", f"{_HERE}.torch_eager", "torch"),
    Entrant("torch-compile", "PyTorch torch.compile", f"{_HERE}.torch_compile", "torch"),
    Entrant("torch-graph", "PyTorch CUDA graph", f"{_HERE}.torch_graph", "torch"),
    Entrant("flax-loop", "Flax NNX, loop", f"{_HERE}.flax_loop", "flax"),
    Entrant("flax-scan", "Flax NNX, scan", f"{_HERE}.flax_scan", "flax", scan=True),
    Entrant("equinox-loop", "Equinox, loop", f"{_HERE}.equinox_loop", "equinox"),
    Entrant("equinox-scan", "Equinox, scan", f"{_HERE}.equinox_scan", "equinox", scan=True),
)
BF16_TOLERANCE = 3e-2
Say = Callable[[str], None]


def bench_trainers(
    points: Sequence[Point],
    rounds: int,
    say: Say = lambda text: None,
    entrants: Sequence[Entrant] = ENTRANTS,
) -> dict[str, Any]:
    """Measures the points and returns what `--json` writes.

    say: is told what goes on. The first of the entrants is ours, which the others are compared to.
    """
    found = []
    with contextlib.ExitStack() as stack:
        absent: dict[str, dict[str, Any]] = {}
        running: dict[str, ContenderProcess] = {}
        yardstick = Entrant(YARDSTICK, YARDSTICK, f"{_HERE}.yardstick", "jax")
        for entrant in (*entrants, yardstick):
            process = stack.enter_context(ContenderProcess(entrant))
            try:
                process.answer()
                running[entrant.name] = process
            except AbsentError as error:
                if entrant in (entrants[0], yardstick):
                    raise
                absent[entrant.name] = _absence(error)
                say(f"{entrant.title}: {error.status}: {error}")
        for point in points:
            with tempfile.TemporaryDirectory() as folder:
                found.append(
                    _Measured(point, Path(folder), rounds, say, entrants).run(running, absent)
                )
    return {
        "machine": describe_machine(),
        "threads": threads(),
        "rounds": rounds,
        "trial_steps": TRIAL_STEPS,
        "contenders": {entrant.name: asdict(entrant) for entrant in entrants},
        "points": found,
        "geometric_mean": _geometric_mean([point["ratio_to_best"] for point in found]),
        "geometric_mean_scans": _geometric_mean([point["ratio_to_scan"] for point in found]),
    }


def _absence(error: AbsentError) -> dict[str, Any]:
    return {"status": error.status, "reason": str(error)}


def _geometric_mean(ratios: Sequence[dict[str, Any] | None]) -> float | None:
    """Over the points that have a ratio."""
    medians = [ratio["median"] for ratio in ratios if ratio is not None]
    return float(np.exp(np.mean(np.log(medians)))) if medians else None


class _Measured:
    """One point of the grid."""

    def __init__(
        self, point: Point, folder: Path, rounds: int, say: Say, entrants: Sequence[Entrant]
    ) -> None:
        self.point, self.folder, self.rounds, self.say = point, folder, rounds, say
        self.entrants = entrants
        self.results: dict[str, dict[str, Any]] = {}

    def run(
        self, running: dict[str, ContenderProcess], absent: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        """The point's record."""
        self.say(f"{self.point.name}: {self.point.rows:,} rows, {self.point.steps:,} steps")
        problem = make_problem(self.point)
        save_problem(problem, self.folder)
        self.results.update(absent)
        judge = _Judge(problem, self.folder)
        taking_part = [entrant for entrant in self.entrants if entrant.name in running]
        agreeing = [e for e in taking_part if self._agrees(e, running[e.name], judge)]
        running[YARDSTICK].ask("load", folder=str(self.folder))
        times: dict[str, list[float]] = {entrant.name: [] for entrant in agreeing}
        rates: list[dict[str, float]] = []
        for number in range(self.rounds):
            rates.append(running[YARDSTICK].ask("epoch", number=number))
            for entrant in agreeing[:: 1 if number % 2 else -1]:
                if entrant.name in times:
                    self._time(running[entrant.name], times, number + 1)
        return self._record(problem, judge, times, rates)

    def _agrees(self, entrant: Entrant, process: ContenderProcess, judge: "_Judge") -> bool:
        """Loads, compares the loss after the first steps, and trains one epoch unmeasured."""
        try:
            process.ask("load", folder=str(self.folder))
            process.ask("trial")
            result = judge.compare(entrant, self.point)
            self.results[entrant.name] = result
            if result["status"] == "ok":
                process.ask("start")
                process.ask("epoch", number=0)
        except AbsentError as error:
            if entrant is self.entrants[0]:
                raise
            result = self.results[entrant.name] = _absence(error)
        if result["status"] != "ok":
            self.say(f"  {entrant.title}: {result['status']}: {result['reason']}")
        return bool(result["status"] == "ok")

    def _time(self, process: ContenderProcess, times: dict[str, list[float]], number: int) -> None:
        name = process.entrant.name
        try:
            times[name].append(process.ask("epoch", number=number)["seconds"])
        except AbsentError as error:
            if process.entrant is self.entrants[0]:
                raise
            del times[name]
            self.results[name] = _absence(error)

    def _record(
        self,
        problem: Problem,
        judge: "_Judge",
        times: dict[str, list[float]],
        rates: list[dict[str, float]],
    ) -> dict[str, Any]:
        point = self.point
        floors = [point.floor_seconds(r["product_rate"], r["copy_rate"]) for r in rates]
        for name, seconds in times.items():
            self.results[name] |= {
                "samples_per_second": spread([point.rows / t for t in seconds]),
                "fraction_of_floor": spread(
                    [floor / t for floor, t in zip(floors, seconds, strict=True)]
                ),
                "seconds": seconds,
            }
        scans = {entrant.name for entrant in self.entrants if entrant.scan}
        ours = self.entrants[0].name
        others = {name: times[name] for name in times if name != ours}
        best = {name: t for name, t in others.items() if name not in scans}
        return {
            "name": point.name,
            "widths": list(point.widths),
            "batch": point.batch,
            "rows": point.rows,
            "precision": point.precision,
            "data": problem.data,
            "loss_before": judge.before,
            "floor": {
                "flops": point.flops,
                "optimizer_bytes": point.optimizer_bytes,
                "product_rate": spread([r["product_rate"] for r in rates]),
                "copy_rate": spread([r["copy_rate"] for r in rates]),
                "samples_per_second": spread([point.rows / floor for floor in floors]),
            },
            "results": {e.name: self.results[e.name] for e in self.entrants},
            "ratio_to_best": _ratio(times[ours], best),
            "ratio_to_scan": _ratio(
                times[ours], {name: t for name, t in others.items() if name in scans}
            ),
        }


def _ratio(ours: list[float], others: dict[str, list[float]]) -> dict[str, Any] | None:
    """How many times as fast as the fastest of the others we are, pair by pair."""
    if not others:
        return None
    name = min(others, key=lambda name: float(np.median(others[name])))
    pairs = zip(others[name], ours, strict=True)
    return {"contender": name, **spread([theirs / mine for theirs, mine in pairs])}


class _Judge:
    """Compares losses after the first steps; the first contender that it sees is the measure."""

    def __init__(self, problem: Problem, folder: Path) -> None:
        self.problem, self.folder = problem, folder
        self.before = problem.loss(problem.weights)
        self.measure: float | None = None

    def compare(self, entrant: Entrant, point: Point) -> dict[str, Any]:
        """{"status": "ok"} or {"status": "disagrees", "reason": …}, with the loss and tolerance."""
        loss = self.problem.loss(load_weights(self.folder, entrant.name, len(point.layers)))
        if self.measure is None:
            self.measure = loss
        tolerance = BF16_TOLERANCE if point.precision == "bf16" else entrant.tolerance
        found = {"loss_after_trial": loss, "tolerance": tolerance}
        if abs(loss - self.measure) <= tolerance * abs(self.measure):
            return {"status": "ok", **found}
        reason = (
            f"after {TRIAL_STEPS} steps its loss is {loss:.5f} and ours {self.measure:.5f}, "
            f"further apart than {tolerance:g} of it"
        )
        return {"status": "disagrees", "reason": reason, **found}
