"""`mlp-jax bench trainers`: a whole epoch of training, against what people use.

Every contender trains the same rows from the same weights in the same order, in a process of its
own. None is timed before its losses after the first steps equal ours. Then epochs interleave, round
by round over the contenders in a new order, and only one computes at a time.
"""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.bench.machine import TRAINERS, describe, median_and_quartiles
from trainers.entrants import ENTRANTS, YARDSTICK, YARDSTICK_ENTRANT, Entrant
from trainers.grid import Point
from trainers.judge import LENGTHS, Judge
from trainers.problem import TRIAL_STEPS, Problem, make_problem, save_problem
from trainers.processes import AbsentError, ContenderProcess, threads
from trainers.serve import SAMPLE

Say = Callable[[str], None]


def bench_trainers(
    points: Sequence[Point],
    rounds: int,
    say: Say = lambda text: None,
    entrants: Sequence[Entrant] = ENTRANTS,
    gpu: str | None = None,
) -> dict[str, Any]:
    """Measures the points and returns what `--json` writes.

    say: is told what goes on. The first of the entrants is ours, which the others are compared to.
    gpu: the name of the GPU to compute on; without it all compute on the processor.
    """
    found = []
    with contextlib.ExitStack() as stack:
        absent: dict[str, dict[str, Any]] = {}
        running: dict[str, ContenderProcess] = {}
        for entrant in (*entrants, YARDSTICK_ENTRANT):
            process = stack.enter_context(ContenderProcess(entrant, gpu is not None))
            try:
                process.answer()
                running[entrant.name] = process
            except AbsentError as error:
                if entrant in (entrants[0], YARDSTICK_ENTRANT):
                    raise
                absent[entrant.name] = _absence(error)
                say(f"{entrant.title}: {error.status}: {error}")
        for point in points:
            with tempfile.TemporaryDirectory() as folder:
                found.append(
                    _Measured(point, Path(folder), rounds, say, entrants).run(running, absent)
                )
    return {
        "machine": describe(packages=TRAINERS, gpu=gpu),
        "threads": threads(),
        "rounds": rounds,
        "seconds_a_sample_at_least": SAMPLE,
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
        judge = Judge(problem, self.folder)
        taking_part = [entrant for entrant in self.entrants if entrant.name in running]
        agreeing = [e for e in taking_part if self._agrees(e, running[e.name], judge)]
        running[YARDSTICK].ask("load", folder=str(self.folder))
        times: dict[str, list[float]] = {entrant.name: [] for entrant in agreeing}
        rates: list[dict[str, float]] = []
        rng = np.random.default_rng(0)
        for number in range(self.rounds):
            rates.append(running[YARDSTICK].ask("epoch", number=number))
            for entrant in [agreeing[index] for index in rng.permutation(len(agreeing))]:
                if entrant.name in times:
                    self._time(running[entrant.name], times, number + 1)
        return self._record(problem, judge, times, rates)

    def _agrees(self, entrant: Entrant, process: ContenderProcess, judge: Judge) -> bool:
        """Loads, compares the loss after the first steps, and trains one epoch unmeasured."""
        try:
            process.ask("load", folder=str(self.folder))
            result: dict[str, Any] = {"status": "ok"}
            for steps in LENGTHS:
                if result["status"] == "ok":
                    process.ask("trial", steps=steps)
                    result = result | judge.compare(entrant, steps)
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
        judge: Judge,
        times: dict[str, list[float]],
        rates: list[dict[str, float]],
    ) -> dict[str, Any]:
        point = self.point
        floors = [point.floor_seconds(r["product_rate"], r["copy_rate"]) for r in rates]
        for name, seconds in times.items():
            self.results[name] |= {
                "samples_per_second": median_and_quartiles([point.rows / t for t in seconds]),
                "fraction_of_floor": median_and_quartiles(
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
                "product_rate": median_and_quartiles([r["product_rate"] for r in rates]),
                "copy_rate": median_and_quartiles([r["copy_rate"] for r in rates]),
                "samples_per_second": median_and_quartiles(
                    [point.rows / floor for floor in floors]
                ),
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
    return {"contender": name, **median_and_quartiles([theirs / mine for theirs, mine in pairs])}
