"""`fit`: train one network, after its gradient is verified."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax

from mlp_jax.backprop import Layer, Loss
from mlp_jax.errors import InputError, ProofError
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import (
    Callback,
    CallbackLike,
    EarlyStopping,
    LedgerCallback,
    TrainStart,
    as_callbacks,
    first_restored,
)
from mlp_jax.training.engine.program import TrainState, initial_state, weights_of
from mlp_jax.training.engine.snapshot import Snapshot
from mlp_jax.training.fit_options import FitOptions, fit_options
from mlp_jax.training.input.validate import Rows
from mlp_jax.training.loop import run_epochs
from mlp_jax.training.mesh.processes import to_host
from mlp_jax.training.network_engine import NetworkEngine
from mlp_jax.training.optim.open_optimizer import with_numbers_of
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.plan import TrainPlan, make_plan, verify
from mlp_jax.training.result import Outcome, TrainResult, train_result


def fit(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    options: FitOptions | None = None,
    *,
    callbacks: Iterable[CallbackLike] = (),
    **keywords: Any,
) -> TrainResult:
    """Train a network, after verifying its gradient.

    Args:
        network: the layers; `mlp` makes the usual ones.
        loss: a loss, or its name.
        optimizer: the name of an optimizer, an `Optimizer` with its schedule, or any Optax
            transformation.
        data: rows (x, y) with x (N, I) uint8 (images, standardized in the step) or float (used as
            it is unless `scaling` is given) and y as the loss takes it; a `Split`; or `Streamed`
            rows, which are read from their files as training needs them.
        options: a `FitOptions`.
        callbacks: `Callback` objects, or functions that receive an `EpochEnd` after each epoch.
        **keywords: fields of `FitOptions`, which take the place of those of `options`, as in
            `fit(…, epochs=20)`.

    Returns:
        The trained network, as a `TrainResult`.

    Raises:
        InputError: for data or options that do not fit.
        ProofError: if the gradient check fails.
        DivergedError: if a step is not finite.
        DeviceError: if the device is missing.
    """
    options = fit_options(options, keywords)
    plan = make_plan(network, loss, optimizer, data, options)
    listeners = _with_usual_callbacks(plan, as_callbacks(callbacks))
    with plan.precision.active(), jax.default_device(plan.device):
        state = initial_state(plan.program, np.uint32(options.seed), plan.n_in, options.start)
        report = verify(plan, state)
        pass_on(report, listeners)
        loader, validation = plan.loader()
        snapshot = _resumed(state, listeners)
        engine = NetworkEngine(plan, snapshot, loader, validation)
        start = TrainStart(snapshot.position, options.epochs, engine.steps, plan.account)
        for callback in listeners:
            callback.on_start(start)
        snapshot = run_epochs(engine, snapshot, listeners, options.epochs)
    outcome = _outcome(plan, snapshot)
    if jax.process_count() > 1:  # from here on, each process works alone
        weights = to_host((outcome.params, outcome.layer_state))
        outcome = outcome._replace(params=weights[0], layer_state=weights[1])
        plan = replace(plan, program=replace(plan.program, layout=None))
    return train_result(plan, outcome, report)


def pass_on(report: Report, callbacks: Iterable[Callback]) -> None:
    """Show the report to the callbacks; raise ProofError if the gradient check failed."""
    for callback in callbacks:
        callback.on_proof(report)
    if not report.ok:
        raise ProofError(f"The gradient check failed at {report.fault}.")


def _with_usual_callbacks(plan: TrainPlan, callbacks: tuple[Callback, ...]) -> tuple[Callback, ...]:
    """Return the callbacks with those that options ask for."""
    if plan.account is not None and not any(isinstance(c, LedgerCallback) for c in callbacks):
        callbacks = (LedgerCallback(), *callbacks)
    if plan.options.patience is not None:
        callbacks = (*callbacks, EarlyStopping(plan.options.patience))
    return callbacks


def _resumed(state: TrainState, callbacks: Iterable[Callback]) -> Snapshot:
    """Return the snapshot that a callback restores, else the start of a new run."""
    restored = first_restored(tuple(callbacks), state)
    if restored is None:
        return Snapshot(state)
    opt_state = with_numbers_of(state.opt_state, restored.state.opt_state)
    return restored._replace(state=restored.state._replace(opt_state=opt_state))


def _outcome(plan: TrainPlan, snapshot: Snapshot) -> Outcome:
    """Return the weights to use: the best epoch's if they are kept, else the last ones."""
    state, at, best = snapshot
    if plan.options.patience is not None and best is None:
        raise InputError(
            f"Early stopping needs {plan.monitor} on the validation rows, which was NaN in every"
            " epoch."
        )
    if best is not None:
        return Outcome(best.params, best.layer_state, at.history, best.epoch)
    return Outcome(*weights_of(state), at.history, len(at.history))
