"""The loop over epochs: compiled calls, one host transfer each, what happens between epochs."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import NoiseAverage
from mlp_jax.data import Scaling
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.checkpoint.snapshot import Best, Position, Snapshot
from mlp_jax.training.compile import Calls, compile_calls
from mlp_jax.training.diagnostics import probe
from mlp_jax.training.diagnostics import report as diagnose
from mlp_jax.training.diagnostics.probe import Look
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.evaluate import evaluate
from mlp_jax.training.engine.program import Program, Seed, TrainState, weights_of
from mlp_jax.training.input.loaders import Data, Feed, Given
from mlp_jax.training.private.ledger import Ledger

Select = Literal["best", "last"]


class EpochEnd(NamedTuple):
    """What a callback is given after an epoch (from 1).

    metrics: the epoch's record.  state: parameters and all else that training changes; copy what
    you keep, the next epoch reuses its memory.  look: () -> `probe.Look`, what a look at the next
    batches tells: gradient, update, the health of the layers, the gradient's noise; None in a
    private run, and where the rows stream.  look_due: whether this epoch's figures go into the
    records (`probe.is_due`).  A callback that returns True ends the training.
    """

    epoch: int
    metrics: dict[str, float]
    state: TrainState
    seconds: float
    samples_per_second: float
    look: Callable[[], Look] | None
    look_due: bool


class Watched(NamedTuple):
    """Rows to judge each epoch by, on the device, and their targets on the host."""

    data: DeviceData
    y: np.ndarray


class Keeper(Protocol):
    """Is shown the run after every compiled call; it may save it, and may raise to end it."""

    def __call__(self, snapshot: Snapshot, *, last: bool) -> None:
        """last: training is over."""


class Plan(NamedTuple):
    """What the loop needs to know besides the program.

    tick: called after every compiled call with (epoch, fraction of it done, loss so far, samples a
    second). select: "best" takes the weights of the epoch with the best validation `monitor`, as
    patience does; "last" those of the last. diagnostics: look at the training where that is due,
    and record the noise of the gradient. ledger: of a private run, whose steps it pays for.
    """

    epochs: int
    seed: Seed
    metrics: tuple[str, ...]
    n_classes: int
    monitor: str
    patience: int | None
    callbacks: Sequence[Callable[[EpochEnd], bool | None]]
    tick: Callable[[int, float, float, float], None] | None
    keep: Keeper | None = None
    target_scaling: Scaling | None = None
    select: Select = "last"
    diagnostics: bool = False
    ledger: Ledger | None = None


class Outcome(NamedTuple):
    """Weights to use, the records of the epochs, and the epoch the weights are from."""

    params: Any
    layer_state: Any
    history: tuple[dict[str, float], ...]
    best_epoch: int


def _run_epoch(
    program: Program,
    snapshot: Snapshot,
    feed: Feed,
    plan: Plan,
    calls: Calls,
    given: Given,
) -> tuple[Snapshot, tuple[float, float]]:
    """The rest of an epoch as compiled calls: the snapshot, (the seconds, samples a second).

    given: the calls' steps and rows.
    """
    state, at, best = snapshot
    size, n = program.batch_size, feed.n
    steps = -(-n // size)
    started, before = time.perf_counter(), at.done
    for count, data in given:
        where = (data, plan.seed, np.int32(at.epoch), np.int32(at.done))
        if plan.ledger is not None:
            plan.ledger.pay(count)
        new, totals = calls[count](state, *where)
        alive, totals = jax.device_get((new.alive, totals))
        if not alive and not program.guarded:
            guarded = replace(program, guarded=True, transposed=False)
            new, totals = run_steps(guarded)(guarded, count, state, *where)
            alive, totals = jax.device_get((new.alive, totals))
        state = new
        if not alive:
            raise DivergedError(_diverged(program, state, data, plan, at))
        at = at._replace(
            done=at.done + count,
            loss=at.loss + float(totals.loss),
            weight=at.weight + float(totals.weight),
        )
        seconds = time.perf_counter() - started
        speed = (min(at.done * size, n) - before * size) / seconds
        if plan.tick is not None:
            plan.tick(at.epoch, at.done / steps, _mean_loss(at), speed)
        if plan.keep is not None and at.done < steps:
            plan.keep(Snapshot(state, at, best), last=False)
    return Snapshot(state, at, best), (seconds, speed)


def _mean_loss(at: Position) -> float:
    return at.loss / at.weight if at.weight else math.nan


def _diverged(program: Program, state: TrainState, data: Data, plan: Plan, at: Position) -> str:
    """What there is to say of a step that is not finite; at: before its call."""
    steps = -(-data.n // program.batch_size)
    done = int(state.step)
    index = done - (at.epoch - 1) * steps
    where = "the update"  # of a private run: where it began would tell of the rows
    if program.private is None:
        place = (at.epoch, at.done, index)
        where = diagnose.first_not_finite(program, state, data, plan.seed, *place)
    return (
        f"Training diverged at step {done + 1} (epoch {at.epoch}): {where} is not finite. "
        "The step was not applied; try a smaller learning rate or a gradient clip."
    )


def _record(
    program: Program, snapshot: Snapshot, validation: Watched | None, plan: Plan
) -> dict[str, float]:
    """The record of the epoch that has just ended."""
    state, at, _ = snapshot
    record: dict[str, float] = {"epoch": at.epoch, "step": int(state.step)}
    if plan.ledger is None:
        record["train_loss"] = _mean_loss(at)
    else:
        record["epsilon"] = plan.ledger.epsilon
    if validation is None:
        return record
    found, _ = evaluate(
        program,
        *weights_of(state),
        validation.data,
        validation.y,
        plan.metrics,
        plan.n_classes,
        plan.target_scaling,
    )
    return record | {f"validation_{name}": value for name, value in found.items()}


def _best(
    program: Program, snapshot: Snapshot, record: dict[str, float], plan: Plan
) -> Best | None:
    """The best weights after this epoch, copied, for the next step reuses the state's memory."""
    best = snapshot.best
    value = record.get(f"validation_{plan.monitor}", math.nan)
    score = value if higher_is_better(plan.monitor) else -value
    loss = record.get("validation_loss", math.nan)
    if not _takes_best(plan) or math.isnan(score):
        return best
    if best is not None and (score, -loss) <= (best.score, -best.loss):
        return best
    weights = weights_of(snapshot.state)
    return Best(score, loss, snapshot.position.epoch, *jax.tree.map(jnp.copy, weights))


def _takes_best(plan: Plan) -> bool:
    return plan.patience is not None or plan.select == "best"


def _end_epoch(
    program: Program,
    snapshot: Snapshot,
    feed: Feed,
    validation: Watched | None,
    plan: Plan,
    pace: tuple[float, float],
    looking: Callable[[], probe.LookCall],
) -> Snapshot:
    """Judges the epoch, tells the callbacks, and moves on to the next one.

    pace: seconds, and samples a second.
    """
    (state, at, _), held = snapshot, feed.held

    @functools.cache
    def look() -> Look:
        assert held is not None
        average = NoiseAverage(*map(jnp.float32, at.noise))
        return looking()(state, held, plan.seed, np.int32(at.epoch + 1), average)

    record, noise = _record(program, snapshot, validation, plan), at.noise
    due = probe.is_due(at.epoch, feed.n, program.batch_size)
    if plan.diagnostics and due and held is not None:
        average = jax.device_get(look().average)
        noise = (float(average.noise), float(average.signal), float(average.share))
        record |= diagnose.noise_record(look())
    best = _best(program, snapshot, record, plan)
    shown = look if plan.ledger is None and held is not None else None
    end = EpochEnd(at.epoch, record, state, *pace, shown, due)
    stops = [callback(end) for callback in plan.callbacks]
    since = at.epoch - (0 if best is None else best.epoch)
    out_of_patience = plan.patience is not None and since >= plan.patience
    history = (*at.history, record)
    stopped = any(stops) or out_of_patience
    position = Position(at.epoch + 1, history=history, stopped=stopped, noise=noise)
    return Snapshot(state, position, best)


def _is_over(program: Program, snapshot: Snapshot, feed: Feed, plan: Plan) -> bool:
    """Whether patience or a callback ended the run, or it cannot pay for the rest of an epoch."""
    left = -(-feed.n // program.batch_size) - snapshot.position.done
    return snapshot.position.stopped or (plan.ledger is not None and not plan.ledger.allows(left))


def _looking(
    program: Program, state: TrainState, feed: Feed, plan: Plan
) -> Callable[[], probe.LookCall]:
    """() -> the look's program: compiled meanwhile where the records want it, else if asked."""
    if plan.diagnostics and feed.held is not None:
        return probe.compile_aside(program, state, feed.held, plan.seed)
    return lambda: functools.partial(probe.look, program)


def run_epochs(
    program: Program,
    snapshot: Snapshot,
    feed: Feed,
    validation: Watched | None,
    plan: Plan,
) -> Outcome:
    """All epochs that are left, or as many as patience and the callbacks allow."""
    done = snapshot.position.done
    calls = compile_calls(program, snapshot.state, feed, plan.seed, done)
    looking = _looking(program, snapshot.state, feed, plan)
    while snapshot.position.epoch <= plan.epochs and not _is_over(program, snapshot, feed, plan):
        at = snapshot.position
        given = feed.calls(plan.seed, at.epoch, at.done, next(iter(calls)))
        with contextlib.closing(given):
            snapshot, pace = _run_epoch(program, snapshot, feed, plan, calls, given)
        snapshot = _end_epoch(program, snapshot, feed, validation, plan, pace, looking)
        if plan.keep is not None:
            plan.keep(snapshot, last=False)
    if plan.keep is not None:
        plan.keep(snapshot, last=True)
    state, at, best = snapshot
    if plan.patience is not None and best is None:
        raise InputError(
            f"Early stopping watches {plan.monitor}, which the validation rows leave undefined: "
            "it was not a number in any epoch."
        )
    if best is not None:
        return Outcome(best.params, best.layer_state, at.history, best.epoch)
    return Outcome(*weights_of(state), at.history, len(at.history))
