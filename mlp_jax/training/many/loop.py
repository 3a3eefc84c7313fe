"""The loop over epochs of many networks: compiled calls, judging, stopping by mask, the best kept.

K members, N rows, C outputs. A member that is stopped or has diverged stays in the program, masked:
its state no longer changes.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.model.judge import scores, task_of
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.batches import DeviceData
from mlp_jax.training.calls import steps_a_call
from mlp_jax.training.evaluate import judged
from mlp_jax.training.loop import Keeper, Watched
from mlp_jax.training.many.records import Record, flat, mean
from mlp_jax.training.many.together import (
    BestWeights,
    ManyState,
    end_epoch,
    judge_members,
    orders,
    run_members,
)
from mlp_jax.training.many.vary import Numbers, Recipe
from mlp_jax.training.program import Program
from mlp_jax.training.settle import Settled
from mlp_jax.training.snapshot import Position, Snapshot


class ManyEpochEnd(NamedTuple):
    """What a callback is given after an epoch (from 1) of the members `first` and on.

    metrics: a flat record (`records.flat`): train_loss and validation_loss are means over the
    members, other validation metrics those of the mean of their predictions.  state: of all of
    them; copy what you keep, the next epoch reuses its memory.  program: of one by itself.
    data: the rows on the device.
    """

    epoch: int
    metrics: Record
    state: ManyState
    seconds: float
    samples_per_second: float
    program: Program
    data: DeviceData
    first: int = 0


class ManyPlan(NamedTuple):
    """What the loop needs to know besides the recipe."""

    settled: Settled
    epochs: int
    patience: int | None
    seed: np.uint32
    callbacks: Sequence[Callable[[ManyEpochEnd], bool | None]]
    tick: Callable[[int, float, float, float], None] | None
    keep: Keeper | None = None
    first: int = 0


class Members(NamedTuple):
    """What the members of a chunk have of their own, on the device."""

    seeds: Any
    numbers: Numbers


def _run_epoch(
    recipe: Recipe, snapshot: Snapshot, data: DeviceData, own: Members, plan: ManyPlan
) -> tuple[Snapshot, float, float]:
    """The rest of an epoch: the snapshot, the seconds, samples a second of all members."""
    state, at, _ = snapshot
    n, size = data.n, recipe.program.batch_size
    steps, count = -(-n // size), len(own.seeds)
    length = steps_a_call(recipe.program, state.members.params, steps)
    order = orders(recipe, n, own.seeds, plan.seed, np.int32(at.epoch))
    started, before = time.perf_counter(), at.done
    while at.done < steps:
        now = min(length, steps - at.done)
        state = run_members(
            recipe, now, state, data, order, own.seeds, own.numbers, np.int32(at.done)
        )
        alive, loss, weight = jax.device_get((state.members.alive, state.loss, state.weight))
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


def _records(
    recipe: Recipe, state: ManyState, epoch: int, watched: Watched | None, own: Members, plan: Any
) -> tuple[Record, dict[int, Record]]:
    """The record of the epoch for all together, and those of the members that trained in it."""
    alive, steps, loss, weight = jax.device_get(
        (state.members.alive, state.members.step, state.loss, state.weight)
    )
    members: dict[int, Record] = {
        int(k): {
            "epoch": epoch,
            "step": int(steps[k]),
            "train_loss": float(loss[k]) / float(weight[k]) if weight[k] else math.nan,
        }
        for k in np.flatnonzero(alive)
    }
    together: Record = {
        "epoch": epoch,
        "step": int(max(steps)),
        "train_loss": mean([record["train_loss"] for record in members.values()]),
    }
    if watched is None or not members:
        return together, members
    settled = plan.settled
    averaged = recipe.program.average_decay is not None
    weights = state.members.average if averaged else state.members.params
    one_by_one = task_of(recipe.program.loss, watched.y, settled.n_classes) == "multilabel"
    outputs, losses = jax.device_get(
        judge_members(
            recipe, one_by_one, weights, state.members.layer_state, watched.data, own.numbers
        )
    )

    def judge(output: Any, loss: Any) -> tuple[Record, np.ndarray]:
        found, predictions = judged(
            recipe.program, output, loss, watched.y, settled.metrics, settled.n_classes,
            settled.target_scaling,
        )  # fmt: skip
        return {f"validation_{name}": value for name, value in found.items()}, predictions

    predicted = []
    for k, record in members.items():
        found, predictions = judge(outputs[k], losses[k])
        record.update(found)
        predicted.append(predictions)
    together["validation_loss"] = mean([r["validation_loss"] for r in members.values()])
    return together | _of_the_mean(recipe, plan, watched, np.mean(predicted, axis=0)), members


def _of_the_mean(
    recipe: Recipe, plan: ManyPlan, watched: Watched, predictions: np.ndarray
) -> Record:
    """The validation metrics of the mean of the members' predictions."""
    settled = plan.settled
    found = scores(recipe.program.loss, predictions, watched.y, settled.metrics, settled.n_classes)
    return {f"validation_{name}": value for name, value in found.items()}


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
    together, members = _records(recipe, state, at.epoch, watched, own, plan)
    record = flat(together, members)
    count = len(own.seeds)
    score = np.full(count, -np.inf, np.float64)
    monitor = plan.settled.monitor
    for k, values in members.items():
        value = values.get(f"validation_{monitor}", math.nan)
        if not math.isnan(value):
            score[k] = value if higher_is_better(monitor) else -value
    stop = np.zeros(count, bool)
    better = np.zeros(count, bool)
    if isinstance(state.best, BestWeights):
        before, epochs = jax.device_get((state.best.score, state.best.epoch))
        now = score.astype(before.dtype)
        better = now > before
        for k in map(int, np.flatnonzero((now == before) & (epochs > 0))):
            # Of equal scores the smaller loss, as in `fit`.
            name = "validation_loss"
            kept = at.history[epochs[k] - 1].get(f"member_{k}_{name}", math.nan)
            better[k] = members.get(k, {}).get(name, math.nan) < kept
        if plan.patience is not None:
            stop = at.epoch - np.where(better, at.epoch, epochs) >= plan.patience
            stop &= np.asarray(state.members.alive)
    dtype = state.best.score.dtype if isinstance(state.best, BestWeights) else np.float32
    state = end_epoch(recipe, state, jnp.asarray(score, dtype), better, stop, np.int32(at.epoch))
    end = ManyEpochEnd(at.epoch, record, state, *timing, recipe.program, data, plan.first)
    asked = [callback(end) for callback in plan.callbacks]
    stopped = any(asked) or not np.asarray(state.members.alive).any()
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
