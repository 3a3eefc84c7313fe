"""Engine of many networks: compiled calls, evaluation, stopping by mask, best weights.

K members, N rows, C outputs. A member that is stopped or has diverged stays in the program, masked:
its state no longer changes.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Int

from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.compile import steps_a_call
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.program import Program
from mlp_jax.training.engine.snapshot import Position, Snapshot
from mlp_jax.training.input.loaders import ValidationRows
from mlp_jax.training.many.member_evaluation import epoch_records
from mlp_jax.training.many.member_steps import (
    BestWeights,
    ManyState,
    MemberInputs,
    end_epoch,
    orders,
    run_members,
)
from mlp_jax.training.many.records import Record, flat
from mlp_jax.training.many.vary import Recipe
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.plan import TrainPlan


class ManyEpochEnd(NamedTuple):
    """Argument of `Callback.on_epoch_end` in `fit_many`, for a chunk of the members.

    Attributes:
        metrics: a flat record (`records.flat`): train_loss and validation_loss are means over the
            members, other validation metrics those of the mean of their predictions.
        state: of all members. Copy what you keep: the next epoch reuses its memory.
        program: the program of one member.
        data: the rows on the device.
        training: which members still train, shape (K,).
        first: number of the first member of the chunk.
    """

    epoch: int
    metrics: Record
    state: ManyState
    seconds: float
    samples_per_second: float
    program: Program
    data: DeviceData
    training: np.ndarray
    first: int = 0
    best_epoch: int = 0


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Members that train at once.

    first, members: number of the first one, and how many there are; what the program holds
    besides repeats the last one, to fill it up, and is ignored.
    """

    first: int
    members: int
    own: MemberInputs
    data: DeviceData
    validation: ValidationRows | None


class ManyEngine:
    """Engine of many networks, which runs their compiled epochs for the host loop.

    Args:
        plan: the training.
        recipe: the static half of its program.
        chunk: the members that train at once.
        state: where they start.
    """

    def __init__(self, plan: TrainPlan, recipe: Recipe, chunk: Chunk, state: ManyState) -> None:
        self._plan, self._recipe, self._chunk = plan, recipe, chunk
        self._seed = np.uint32(plan.options.seed)
        self._length = steps_a_call(recipe.program, state.members.params, self.steps)
        self._order: Int[Array, ...] | None = None
        self._training = True

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-self._chunk.data.n // self._recipe.program.batch_size)

    def samples(self, position: Position) -> float:
        """Return how many examples of the epoch are done, over all members."""
        rows = min(position.done * self._recipe.program.batch_size, self._chunk.data.n)
        return self._chunk.members * rows

    def calls(self, position: Position) -> Generator[tuple[int, Any], None, None]:
        """Yield the calls that are left in the epoch, as long as a member trains."""
        n, seeds = self._chunk.data.n, self._chunk.own.seeds
        self._training = True
        self._order = orders(self._recipe, n, seeds, self._seed, np.int32(position.epoch))
        for first in range(position.done, self.steps, self._length):
            if self._training:
                yield min(self._length, self.steps - first), self._chunk.data

    @np.errstate(over="ignore", invalid="ignore")  # of members that diverge
    def run(self, snapshot: Snapshot, call: tuple[int, Any]) -> tuple[Snapshot, float]:
        """Return the snapshot after a call, and the mean loss of the epoch so far."""
        count, data = call
        state, at, _ = snapshot
        own = self._chunk.own
        state = run_members(
            self._recipe, count, state, data, self._order, own.seeds, own.numbers,
            np.int32(at.done),
        )  # fmt: skip
        alive, loss, weight = (
            array[: self._chunk.members]
            for array in read((state.members.alive, state.loss, state.weight))
        )
        self._training = bool(alive.any())
        known = np.asarray(weight) > 0
        mean = float(np.mean(loss[known] / weight[known])) if known.any() else math.nan
        return Snapshot(state, at._replace(done=at.done + count)), mean

    def end_epoch(
        self, snapshot: Snapshot, seconds: float, samples_per_second: float
    ) -> tuple[Snapshot, ManyEpochEnd]:
        """Evaluate the epoch, keep the best weights, and stop members that are out of patience."""
        state, at, _ = snapshot
        recipe, chunk = self._recipe, self._chunk
        together, members = epoch_records(
            recipe, state, at.epoch, chunk.own, chunk.validation, self._plan, chunk.members
        )
        score = self._scores(members)
        better, stop = self._better(state, at, members, score)
        dtype = state.best.score.dtype if isinstance(state.best, BestWeights) else np.float32
        state = end_epoch(recipe, state, score.astype(dtype), better, stop, np.int32(at.epoch))
        training = read(state.members.alive)[: chunk.members]
        end = ManyEpochEnd(
            epoch=at.epoch,
            metrics=flat(together, members),
            state=state,
            seconds=seconds,
            samples_per_second=samples_per_second,
            program=recipe.program,
            data=chunk.data,
            training=training,
            first=chunk.first,
        )
        at = at._replace(stopped=not training.any())
        return Snapshot(state, at), end

    def _scores(self, members: dict[int, Record]) -> np.ndarray:
        """Return the monitored metric of each member, larger is better; −∞ where undefined."""
        score = np.full(len(self._chunk.own.seeds), -np.inf, np.float64)
        monitor = self._plan.monitor
        for k, values in members.items():
            value = values.get(f"validation_{monitor}", math.nan)
            if not math.isnan(value):
                score[k] = value if higher_is_better(monitor) else -value
        return score

    def _better(
        self, state: ManyState, at: Position, members: dict[int, Record], score: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which members are better than before, and which are out of patience."""
        stop, better = np.zeros(len(score), bool), np.zeros(len(score), bool)
        if not isinstance(state.best, BestWeights):
            return better, stop
        before, epochs = read((state.best.score, state.best.epoch))
        now = score.astype(before.dtype)
        better = now > before
        for k in map(int, np.flatnonzero((now == before) & (epochs > 0))):
            # Of equal scores the smaller loss, as in `fit`.
            name = "validation_loss"
            kept = at.history[epochs[k] - 1].get(f"member_{k}_{name}", math.nan)
            better[k] = members.get(k, {}).get(name, math.nan) < kept
        patience = self._plan.options.patience
        if patience is not None:
            stop = at.epoch - np.where(better, at.epoch, epochs) >= patience
            stop &= read(state.members.alive)
        return better, stop
