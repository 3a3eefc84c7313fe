"""No contender is timed before its losses after the first steps equal ours."""

from pathlib import Path
from typing import Any

from trainers.entrants import Entrant
from trainers.problem import TRIAL_STEPS, Problem, load_weights

LENGTHS = (1, TRIAL_STEPS)


class Judge:
    """Compares losses; the first contender that it sees is the measure."""

    def __init__(self, problem: Problem, folder: Path) -> None:
        self.problem, self.folder = problem, folder
        self.before = problem.loss(problem.weights)
        self.measure: dict[int, float] = {}

    def compare(self, entrant: Entrant, steps: int) -> dict[str, Any]:
        """{"status": "ok"} or {"status": "disagrees", "reason": …}, with the loss after `steps`."""
        point = self.problem.point
        loss = self.problem.loss(load_weights(self.folder, entrant.name, len(point.layers)))
        measure = self.measure.setdefault(steps, loss)
        tolerance = entrant.tolerances(point.precision)[LENGTHS.index(steps)]
        found = {f"loss_after_{steps}": loss, f"tolerance_after_{steps}": tolerance}
        if abs(loss - measure) <= tolerance * abs(measure):
            return {"status": "ok", **found}
        reason = (
            f"after {steps} step{'s' * (steps > 1)} its loss is {loss:.6f} and ours "
            f"{measure:.6f}, further apart than {tolerance:g} of it"
        )
        return {"status": "disagrees", "reason": reason, **found}
