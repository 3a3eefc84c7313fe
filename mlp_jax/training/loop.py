"""The loop over epochs: compiled calls, one host transfer each, what happens between epochs."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.errors import DivergedError, InputError
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.proof.quick import platform
from mlp_jax.training import diagnose
from mlp_jax.training.epoch import (
    DeviceData,
    Program,
    Seed,
    Totals,
    TrainState,
    epoch_order,
    run_steps,
)
from mlp_jax.training.evaluate import evaluate

SECONDS_A_CALL = 1.0
STEP_OVERHEAD = 2e-5
FLOPS_A_SECOND = {"cpu": 1.5e11, "gpu": 2e13}


Calls = dict[int, Callable[..., tuple[TrainState, Totals]]]


class EpochEnd(NamedTuple):
    """What a callback is given after an epoch (from 1).

    metrics: the epoch's record.  state: parameters and all else that training changes; copy what
    you keep, the next epoch reuses its memory.  look: () -> `diagnose.StepLook`, the gradient and
    update of the epoch's last batch.  A callback that returns True ends the training.
    """

    epoch: int
    metrics: dict[str, float]
    state: TrainState
    seconds: float
    samples_per_second: float
    look: Callable[[], diagnose.StepLook]


class Watched(NamedTuple):
    """Rows to judge each epoch by, on the device, and their targets on the host."""

    data: DeviceData
    y: np.ndarray


class Plan(NamedTuple):
    """What the loop needs to know besides the program.

    tick: called after every compiled call with (epoch, fraction of it done, loss so far, samples a
    second). monitor: the validation metric whose best epoch is kept when patience is set.
    """

    epochs: int
    seed: Seed
    metrics: tuple[str, ...]
    n_classes: int
    monitor: str
    patience: int | None
    callbacks: Sequence[Callable[[EpochEnd], bool | None]]
    tick: Callable[[int, float, float, float], None] | None


class Outcome(NamedTuple):
    """Weights to use, the records of the epochs, and the epoch the weights are from."""

    params: Any
    layer_state: Any
    history: tuple[dict[str, float], ...]
    best_epoch: int


def steps_a_call(program: Program, params: Any, steps: int) -> int:
    """The length of a compiled call: an epoch, or equal parts of it of about a second each."""
    multiplied = sum(p.size for p in jax.tree.leaves(params) if p.ndim > 1)
    rate = FLOPS_A_SECOND.get(platform(), 1.5e11)
    seconds = STEP_OVERHEAD + 6 * multiplied * program.batch_size / rate
    most = max(int(SECONDS_A_CALL / seconds), 1)
    return math.ceil(steps / math.ceil(steps / most))


def compile_calls(program: Program, state: TrainState, data: DeviceData, seed: Seed) -> Calls:
    """The compiled calls of an epoch by their number of steps: one, or two where it is cut.

    The longest stands first, and an epoch is as many of it as fit and the other for the rest.
    """
    steps = -(-data.x.shape[0] // program.batch_size)
    length = steps_a_call(program, state.params, steps)
    order = jax.eval_shape(
        functools.partial(epoch_order, n=data.x.shape[0], batch_size=program.batch_size),
        seed,
        np.int32(0),
    )
    leaves, structure = jax.tree.flatten((state, data, order, seed, np.int32(0)))
    shapes = tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)
    settings = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_device")
    how = tuple(getattr(jax.config, name, None) for name in settings)
    return {
        count: _compiled(program, count, structure, shapes, how)
        for count in dict.fromkeys((length, steps % length or length))
    }


@functools.lru_cache(maxsize=64)
def _compiled(
    program: Program, count: int, structure: Any, shapes: tuple[Any, ...], how: tuple[Any, ...]
) -> Callable[..., tuple[TrainState, Totals]]:
    """The call of `count` steps for arguments of these shapes; equal ones are compiled once.

    how: the settings of JAX that the program depends on besides its arguments.
    """
    arguments = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*shape) for shape in shapes])
    return run_steps.lower(program, count, *arguments).compile()


def weights_of(program: Program, state: TrainState) -> Any:
    """The parameters to judge and to keep: the moving average where there is one."""
    return state.params if program.average_decay is None else state.average


def _run_epoch(
    program: Program, state: TrainState, data: DeviceData, plan: Plan, epoch: int, calls: Calls
) -> tuple[TrainState, float, float]:
    """One epoch as compiled calls: the state, the mean loss, the seconds."""
    length = next(iter(calls))
    n, steps = data.x.shape[0], -(-data.x.shape[0] // program.batch_size)
    started = time.perf_counter()
    loss = weight = 0.0
    order = epoch_order(plan.seed, np.int32(epoch), n, program.batch_size)
    for first in range(0, steps, length):
        count = min(length, steps - first)
        state, totals = calls[count](state, data, order, plan.seed, np.int32(first))
        alive, totals = jax.device_get((state.alive, totals))
        if not alive:
            raise DivergedError(_diverged(program, state, data, plan, epoch))
        loss, weight = loss + float(totals.loss), weight + float(totals.weight)
        if plan.tick is not None:
            done = first + count
            speed = min(done * program.batch_size, n) / (time.perf_counter() - started)
            plan.tick(epoch, done / steps, loss / weight if weight else math.nan, speed)
    return state, loss / weight if weight else math.nan, time.perf_counter() - started


def _diverged(program: Program, state: TrainState, data: DeviceData, plan: Plan, epoch: int) -> str:
    steps = -(-data.x.shape[0] // program.batch_size)
    done = int(state.step)
    index = done - (epoch - 1) * steps
    where = diagnose.first_not_finite(program, state, data, plan.seed, epoch, index)
    return (
        f"Training diverged at step {done + 1} (epoch {epoch}): {where} is not finite. "
        "The step was not applied; try a smaller learning rate or a gradient clip."
    )


def run_epochs(
    program: Program,
    state: TrainState,
    data: DeviceData,
    validation: Watched | None,
    plan: Plan,
) -> Outcome:
    """All epochs, or as many as patience and the callbacks allow."""
    calls = compile_calls(program, state, data, plan.seed)
    steps = -(-data.x.shape[0] // program.batch_size)
    history: list[dict[str, float]] = []
    best: tuple[float, int, Any, Any] | None = None
    for epoch in range(1, plan.epochs + 1):
        state, loss, seconds = _run_epoch(program, state, data, plan, epoch, calls)
        record: dict[str, float] = {"epoch": epoch, "step": int(state.step), "train_loss": loss}
        if validation is not None:
            weights = weights_of(program, state)
            found, _ = evaluate(
                program,
                weights,
                state.layer_state,
                validation.data,
                validation.y,
                plan.metrics,
                plan.n_classes,
            )
            record |= {f"validation_{name}": value for name, value in found.items()}
        history.append(record)
        if plan.patience is not None and validation is not None:
            value = record[f"validation_{plan.monitor}"]
            score = value if higher_is_better(plan.monitor) else -value
            if not math.isnan(score) and (best is None or score > best[0]):
                kept = jax.tree.map(jnp.copy, (weights_of(program, state), state.layer_state))
                best = (score, epoch, *kept)

        def look(state: TrainState = state, epoch: int = epoch) -> diagnose.StepLook:
            return diagnose.look(
                program, state, data, plan.seed, np.int32(epoch), np.int32(steps - 1)
            )

        end = EpochEnd(epoch, record, state, seconds, data.x.shape[0] / seconds, look)
        stops = [callback(end) for callback in plan.callbacks]
        since = epoch - (0 if best is None else best[1])
        if any(stops) or (plan.patience is not None and since >= plan.patience):
            break
    if plan.patience is not None and best is None:
        raise InputError(
            f"Early stopping watches {plan.monitor}, which the validation rows leave undefined: "
            "it was not a number in any epoch."
        )
    if best is not None:
        return Outcome(best[2], best[3], tuple(history), best[1])
    return Outcome(weights_of(program, state), state.layer_state, tuple(history), len(history))
