"""`fit`: checked data, the proof, then epochs as compiled calls."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from mlp_jax.backprop import Layer, Loss, get_loss
from mlp_jax.data import (
    Scaling,
    Split,
    apply,
    fit_scaling,
)
from mlp_jax.errors import InputError, ProofError, UnknownNameError
from mlp_jax.model.judge import task_of
from mlp_jax.model.metrics import check_metrics, default_metrics
from mlp_jax.model.precision import Precision, choose_device, choose_precision
from mlp_jax.proof import Report, check_gradients
from mlp_jax.training.checkpoints import Checkpoints
from mlp_jax.training.epoch import Program, TrainState, initial_state
from mlp_jax.training.fitted import Fitted, place
from mlp_jax.training.loop import EpochEnd, Plan, Select, Watched, run_epochs
from mlp_jax.training.optimizers import Optimizer
from mlp_jax.training.rows import Rows, check_numbers, checked_rows, row_weights
from mlp_jax.training.snapshot import Position, Snapshot

BATCH_SIZE = 64


def fit(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    seed: int = 0,
    validation: Rows | float | None = None,
    sample_weight: np.ndarray | None = None,
    class_weight: str | Sequence[float] | None = None,
    scaling: Scaling | None = None,
    target_scaling: Scaling | None = None,
    metrics: Sequence[str] | None = None,
    patience: int | None = None,
    select: Select = "last",
    monitor: str | None = None,
    average: float | None = None,
    precision: str | None = None,
    device: str | None = None,
    callbacks: Sequence[Callable[[EpochEnd], bool | None]] = (),
    tick: Callable[[int, float, float, float], None] | None = None,
    proved: Callable[[Report], None] | None = None,
    schedule_epochs: int | None = None,
    checkpoints: Callable[[], Checkpoints] | None = None,
    started: Callable[[Position], None] | None = None,
    start: tuple[Any, Any] | None = None,
) -> Fitted:
    """Trains `network` on rows x (N, I), y, after proving its gradient; returns a `Fitted`.

    optimizer: a name, an `Optimizer` with its schedule, or any Optax transformation.
    batch_size: examples a step; None takes 64, or all rows where there are fewer.
    data: (x, y) or a Split; x uint8 (images, scaled in the step) or float (taken as it is unless
    `scaling` is given); y as the loss takes it.
    validation: rows to judge each epoch by, or the fraction of `data` to hold out, stratified.
    sample_weight (N,) of `data`, class_weight ("balanced" or one a class): how much a row counts.
    metrics: names for validation; the first is the `monitor` unless said otherwise ("loss" too).
    patience: stop after so many epochs without a better monitor, and return the best weights.
    select: "best" returns them without stopping early, where there are validation rows.
    average: decay of an exponential moving average of the weights, which then is what is judged.
    precision: "float32", "tf32", "bf16", "float64"; device: "cpu", "gpu".
    callbacks get an `EpochEnd` after each epoch; tick is called after every compiled call; proved
    is given the report of the proof before the first step.
    target_scaling: brings real targets to the network and is undone in predictions and metrics.
    schedule_epochs: what the schedule is stretched over, else `epochs`.
    checkpoints: called after the proof, gives where to save to; where they hold a snapshot the
    training goes on from it. started: is told where it starts. start: parameters and state to
    start from, as the network's `init` gives them, with None at a child that starts afresh.

    Raises InputError for data or options that do not fit, ProofError where the gradient fails the
    proof, DivergedError where a step is not finite, DeviceError where the device is missing.
    """
    loss = get_loss(loss) if isinstance(loss, str) else loss
    chosen = choose_device(device)
    policy = choose_precision(precision, chosen)
    rows, watched, n_classes, weights = checked_rows(
        network, loss, data, validation, seed, sample_weight
    )
    if isinstance(optimizer, str):
        optimizer = Optimizer(optimizer)
    if isinstance(optimizer, Optimizer) and optimizer.full_batch:
        batch_size = len(rows)
    if batch_size is None:
        batch_size = min(BATCH_SIZE, len(rows))
    check_numbers(epochs, schedule_epochs, batch_size, patience, average, seed, len(rows))
    names, watch = _judges(loss, rows, n_classes, metrics, monitor)
    if select not in ("best", "last"):
        raise UnknownNameError("selection of weights", select, ("best", "last"))
    if patience is not None and watched is None:
        raise InputError("Early stopping (patience) needs validation rows.")
    weights = row_weights(rows, weights, class_weight, n_classes)
    if scaling is None and rows.x.dtype == np.uint8:
        scaling = fit_scaling(rows.x)
    steps = (schedule_epochs or epochs) * -(-len(rows) // batch_size)
    build = optimizer.build(steps) if isinstance(optimizer, Optimizer) else optimizer
    build = optax.with_extra_args_support(build)
    program = Program(
        network,
        loss,
        build,
        batch_size,
        policy.params,
        policy.products,
        average,
        doubt_updates=not isinstance(optimizer, Optimizer),
        branches=chosen.platform == "cpu",
    )
    plan = Plan(
        epochs,
        np.uint32(seed),
        names,
        n_classes,
        watch,
        patience,
        tuple(callbacks),
        tick,
        target_scaling=target_scaling,
        select=select,
    )
    with policy.active(), jax.default_device(chosen):
        state = initial_state(program, plan.seed, rows.x.shape[1], start)
        report = _prove(program, state, rows, scaling, target_scaling, policy)
        if proved is not None:
            proved(report)
        if not report.ok:
            raise ProofError(f"The gradient fails the proof at {report.fault}.")
        placed = place(rows, weights, scaling, policy.params, target_scaling)
        judged = None
        if watched is not None:
            there = place(watched, None, scaling, policy.params, target_scaling)
            judged = Watched(there, watched.y)
        snapshot = Snapshot(state)
        if checkpoints is not None:
            keeper = checkpoints()
            snapshot = keeper.restore(state) or snapshot
            plan = plan._replace(keep=keeper)
        if started is not None:
            started(snapshot.position)
        outcome = run_epochs(program, snapshot, placed, judged, plan)
    return Fitted(
        network,
        loss,
        outcome.params,
        outcome.layer_state,
        scaling,
        target_scaling,
        outcome.history,
        report,
        outcome.best_epoch,
        rows.x.shape[1],
        network.width_out(rows.x.shape[1]),
        n_classes,
        program,
        policy,
        chosen,
    )


def _judges(
    loss: Loss, rows: Split, n_classes: int, metrics: Sequence[str] | None, monitor: str | None
) -> tuple[tuple[str, ...], str]:
    """The metrics of each epoch, and the one that chooses the best epoch."""
    task = task_of(loss, rows.y, n_classes)
    names = default_metrics(task) if metrics is None else tuple(metrics)
    check_metrics(task, names)
    watch = monitor or (names[0] if names else "loss")
    if watch not in ("loss", *names):
        raise InputError(f"The monitor '{watch}' is not among the metrics: {', '.join(names)}.")
    return names, watch


def _prove(
    program: Program,
    state: TrainState,
    rows: Split,
    scaling: Scaling | None,
    target_scaling: Scaling | None,
    policy: Precision,
) -> Report:
    """The proof on a few of the rows: float64, and the run's own type."""
    few = np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int)
    x = rows.x[few] if scaling is None else apply(scaling, rows.x[few], np.float64)
    y = rows.y[few]
    if target_scaling is not None:
        y = apply(target_scaling, y.reshape(len(y), -1), np.float64)
    return check_gradients(
        program.network,
        program.loss,
        state.params,
        (x, y),
        state=state.layer_state,
        dtypes=tuple(dict.fromkeys(("float64", policy.proof_dtype))),
    )
