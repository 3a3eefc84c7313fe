"""The loop over epochs of many networks: compiled calls, judging, stopping by mask, the best kept.

K members, N rows, C outputs. A member that is stopped or has diverged stays in the program, masked:
its state no longer changes.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.checkpoint.snapshot import Position, Snapshot
from mlp_jax.training.compile import steps_a_call
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.program import Program
from mlp_jax.training.loop import Keeper, Watched
from mlp_jax.training.many.judging import epoch_records
from mlp_jax.training.many.records import Record, flat
from mlp_jax.training.many.together import (
    BestWeights,
    ManyState,
    Members,
    end_epoch,
    orders,
    run_members,
)
from mlp_jax.training.many.vary import Recipe
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.settled import Settled


class ManyEpochEnd(NamedTuple):
    """What a callback is given after an epoch (from 1) of the members `first` and on.

    metrics: a flat record (`records.flat`): train_loss and validation_loss are means over the
    members, other validation metrics those of the mean of their predictions.  state: of all of
    them; copy what you keep, the next epoch reuses its memory.  program: of one by itself.
    data: the rows on the device.  training (K,): which members still train.
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


class ManyPlan(NamedTuple):
    """What the loop needs to know besides the recipe.

    first, members: the chunk's first member, and how many it has; what the program holds
    besides repeats the last one, to fill it up, and is not looked at.
    """

    settled: Settled
    epochs: int
    patience: int | None
    seed: np.uint32
    callbacks: Sequence[Callable[[ManyEpochEnd], bool | None]]
    tick: Callable[[int, float, float, float], None] | None
    keep: Keeper | None = None
    first: int = 0
    members: int = 0


@np.errstate(over="ignore", invalid="ignore")  # of members that diverge
def _run_epoch(
    recipe: Recipe, snapshot: Snapshot, data: DeviceData, own: Members, plan: ManyPlan
) -> tuple[Snapshot, float, float]:
    """The rest of an epoch: the snapshot, the seconds, samples a second of all members."""
    state, at, _ = snapshot
    n, size = data.n, recipe.program.batch_size
    steps, count = -(-n // size), plan.members
    length = steps_a_call(recipe.program, state.members.params, steps)
    order = orders(recipe, n, own.seeds, plan.seed, np.int32(at.epoch))
    started, before = time.perf_counter(), at.done
    while at.done < steps:
        now = min(length, steps - at.done)
        state = run_members(
            recipe, now, state, data, order, own.seeds, own.numbers, np.int32(at.done)
        )
        alive, loss, weight = (
            array[:count] for array in read((state.members.alive, state.loss, state.weight))
        )
        at = at._replace(done=at.done + now)
        seconds = time.perf_counter() - started
        speed = count * (min(at.done * size, n) - before * size) / seconds
        if plan.tick is not None:
            known = np.asarray(weight) > 0
            so_far = float(np.mean(loss[known] / weight[known])) if known.any() else math.nan
            plan.tick(at.epoch, at.done / steps, so_far, speed)
        if plan.keep is not None and at.done < steps:
            plan.keep(Snapshot(state, at), last=False)
        if not alive.any():
            break
    return Snapshot(state, at), time.perf_counter() - started, speed


def _end_epoch(
    recipe: Recipe,
    snapshot: Snapshot,
    data: DeviceData,
    watched: Watched | None,
    own: Members,
    plan: ManyPlan,
    timing: tuple[float, float],
) -> Snapshot:
    """Judges the epoch, keeps the best, stops who is out of patience, tells the callbacks."""
    state, at, _ = snapshot
    together, members = epoch_records(
        recipe, state, at.epoch, watched, own, plan.settled, plan.members
    )
    record = flat(together, members)
    size = len(own.seeds)
    score = np.full(size, -np.inf, np.float64)
    monitor = plan.settled.monitor
    for k, values in members.items():
        value = values.get(f"validation_{monitor}", math.nan)
        if not math.isnan(value):
            score[k] = value if higher_is_better(monitor) else -value
    stop = np.zeros(size, bool)
    better = np.zeros(size, bool)
    if isinstance(state.best, BestWeights):
        before, epochs = read((state.best.score, state.best.epoch))
        now = score.astype(before.dtype)
        better = now > before
        for k in map(int, np.flatnonzero((now == before) & (epochs > 0))):
            # Of equal scores the smaller loss, as in `fit`.
            name = "validation_loss"
            kept = at.history[epochs[k] - 1].get(f"member_{k}_{name}", math.nan)
            better[k] = members.get(k, {}).get(name, math.nan) < kept
        if plan.patience is not None:
            stop = at.epoch - np.where(better, at.epoch, epochs) >= plan.patience
            stop &= read(state.members.alive)
    dtype = state.best.score.dtype if isinstance(state.best, BestWeights) else np.float32
    state = end_epoch(recipe, state, score.astype(dtype), better, stop, np.int32(at.epoch))
    training = read(state.members.alive)[: plan.members]
    end = ManyEpochEnd(at.epoch, record, state, *timing, recipe.program, data, training, plan.first)
    asked = [callback(end) for callback in plan.callbacks]
    stopped = any(asked) or not training.any()
    position = Position(at.epoch + 1, history=(*at.history, record), stopped=stopped)
    return Snapshot(state, position)


def run_members_epochs(
    recipe: Recipe,
    snapshot: Snapshot,
    data: DeviceData,
    watched: Watched | None,
    own: Members,
    plan: ManyPlan,
) -> Snapshot:
    """All epochs that are left, or as many as patience, the callbacks and divergence allow."""
    while snapshot.position.epoch <= plan.epochs and not snapshot.position.stopped:
        snapshot, *timing = _run_epoch(recipe, snapshot, data, own, plan)
        snapshot = _end_epoch(recipe, snapshot, data, watched, own, plan, (timing[0], timing[1]))
        if plan.keep is not None:
            plan.keep(snapshot, last=False)
    if plan.keep is not None:
        plan.keep(snapshot, last=True)
    return snapshot
