"""Stochastic solvers of an estimator: from its parameters to a fit plan, and back."""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split

from mlp_jax.backprop.specification import Params, State
from mlp_jax.estimators.committee import train_committee
from mlp_jax.estimators.extras import callbacks_of, is_elementwise, transformation
from mlp_jax.estimators.gradient_check import check_in_background
from mlp_jax.estimators.loader import EpochLoader, TrainingRows
from mlp_jax.estimators.presets import train_preset
from mlp_jax.estimators.progress import Progress, Rate
from mlp_jax.estimators.solvers import ADAM, NESTEROV, SGD, adam_state, sgd_state
from mlp_jax.estimators.specify import Specification, as_type
from mlp_jax.estimators.stochastic import FitPlan, FitState, Judge, train
from mlp_jax.model.precision import Precision
from mlp_jax.proof.quick import platform
from mlp_jax.training.callbacks import Callback, EpochEnd, as_callbacks
from mlp_jax.training.compile import steps_a_call
from mlp_jax.training.engine.program import (
    Program,
    TrainState,
    first_average,
    numbers_of,
    weights_of,
)
from mlp_jax.training.optim.open_optimizer import with_numbers
from mlp_jax.training.run.logs import TensorBoardLog

Callbacks = tuple[Callback, ...]


def solve(
    estimator: Any,
    specification: Specification,
    policy: Precision,
    rows: TrainingRows,
    incremental: bool,
) -> None:
    """Train the estimator by its solver and set the attributes that scikit-learn's would have.

    A preset and an ensemble train, with the gradient check, by `mlp_jax.fit`; otherwise the check
    runs in the background.
    """
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    rows, judged = _split(estimator, rows)
    batch_size = batch_size_of(estimator.batch_size, rows.n)
    with _watching(estimator) as callbacks:
        if estimator.preset is not None:
            found = train_preset(estimator, specification, rows, judged, callbacks)
            _keep_committee(estimator, *found, rows)
            return
        if estimator.ensemble > 1:
            found = train_committee(estimator, specification, rows, judged, batch_size, callbacks)
            _keep_committee(estimator, *found, rows)
            return
        how = (estimator, specification, policy, rows, judged, batch_size)
        proof = check_in_background(specification, policy.proof_dtype)
        plan, fit_state = _fit_plan(*how, proof, incremental, callbacks)
        _keep(estimator, train(plan, fit_state), rows.x.dtype)


@contextmanager
def _watching(estimator: Any) -> Iterator[Callbacks]:
    """Return the callbacks of every epoch, TensorBoard among them."""
    callbacks = callbacks_of(estimator)
    if estimator.tensorboard is None:
        yield callbacks
        return
    with TensorBoardLog(estimator.tensorboard) as log:

        def write(end: EpochEnd) -> None:
            figures = {name: v for name, v in end.metrics.items() if name not in ("epoch", "step")}
            log.scalars(end.epoch, figures)

        yield (*callbacks, *as_callbacks([write]))


def _fit_plan(
    estimator: Any,
    specification: Specification,
    policy: Precision,
    rows: TrainingRows,
    judged: TrainingRows | None,
    batch_size: int,
    proof: "Future[None]",
    incremental: bool,
    callbacks: Callbacks,
) -> tuple[FitPlan, FitState]:
    """Return the plan of the epochs and the state that they start from."""
    steps = -(-rows.n // batch_size)
    asked, numbers = transformation(estimator, steps * estimator.max_iter)
    optimizer = asked or optimizer_of(estimator)
    program = Program(
        network=specification.network,
        loss=specification.loss,
        optimizer=optimizer,
        batch_size=batch_size,
        dtype=policy.params,
        products=policy.products,
        average_decay=estimator.ema,
        doubt_updates=False,
        guarded=False,
        transposed=platform() == "cpu" and is_elementwise(estimator, optimizer),
        numbers=numbers,
    )
    fit_state = _start(estimator, program, incremental)
    loader = EpochLoader(
        rows, policy.params, batch_size, steps_a_call(program, fit_state.state.params, steps)
    )
    seed = np.uint32(0)
    if specification.network.draws:
        seed = np.uint32(estimator._random_state.randint(np.iinfo(np.int32).max))
    judge = None if judged is None else _judge(estimator, judged, policy)
    plan = FitPlan(
        program=program,
        loader=loader,
        random=estimator._random_state,
        alpha=np.asarray(estimator.alpha, policy.params),
        seed=seed,
        shuffle=estimator.shuffle,
        max_iter=1 if incremental else estimator.max_iter,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        verbose=bool(estimator.verbose),
        proof=proof,
        judge=judge,
        patient=estimator.early_stopping,
        rate=fit_state.rate,
        callbacks=callbacks,
        one_epoch=incremental,
    )
    return plan, fit_state


def optimizer_of(estimator: Any) -> Any:
    """Return the solver as an Optax transformation, the same object for equal ones."""
    if estimator.solver == "adam":
        return ADAM
    return NESTEROV if estimator.nesterovs_momentum else SGD


def batch_size_of(asked: Any, n: int) -> int:
    """Return the batch size for n rows by scikit-learn's rules; warn if it is clipped."""
    if asked == "auto":
        return min(200, n)
    if asked > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=2,
        )
    return int(np.clip(asked, 1, n))


def _split(estimator: Any, rows: TrainingRows) -> tuple[TrainingRows, TrainingRows | None]:
    """Split (training rows, validation rows) as scikit-learn does for early stopping.

    Stratified by class, but not for several outputs. The first have targets as the loss takes them.
    """
    if estimator.validation_data is not None:
        return rows._replace(y=estimator._encoded(rows.y)), estimator._validation_rows()
    if not estimator.early_stopping:
        return rows._replace(y=estimator._encoded(rows.y)), None
    stratified = is_classifier(estimator) and estimator.n_outputs_ == 1
    arrays = [rows.x, rows.y] + ([] if rows.weights is None else [rows.weights])
    parts = train_test_split(
        *arrays,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=rows.y if stratified else None,
    )
    if parts[1].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your"
            " dataset."
        )
    weights = (None, None) if rows.weights is None else parts[4:]
    train_rows = TrainingRows(parts[0], estimator._encoded(parts[2]), weights[0])
    return train_rows, TrainingRows(parts[1], parts[3], weights[1])


def _judge(estimator: Any, rows: TrainingRows, policy: Precision) -> Judge:
    """Place the validation rows on the device, with their score."""
    encoded = rows._replace(y=estimator._encoded(rows.y), weights=None)
    multilabel = estimator.out_activation_ == "logistic"
    score = estimator._scorer(rows.y, rows.weights)
    return Judge(encoded.placed(policy.params), multilabel, score)


def _start(estimator: Any, program: Program, incremental: bool) -> FitState:
    """Return the initial state: the estimator's weights, curves and (new or own) optimizer."""
    params = as_type(estimator._params(), program.dtype)
    if incremental and hasattr(estimator, "_optimizer"):
        opt_state, rate, step = estimator._optimizer
    else:
        opt_state, rate = new_optimizer(estimator, params)
        if program.optimizer not in (ADAM, SGD, NESTEROV):
            opt_state, rate = jax.device_get(program.optimizer.init(params)), None
        step = np.zeros((), np.int32)
    opt_state = jax.tree.map(
        lambda leaf: leaf.astype(program.dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf,
        with_numbers(opt_state, program.numbers),
    )
    alive: Any = np.ones((), bool)
    layer_state = as_type(estimator._layer_state, program.dtype)
    state = TrainState(
        params=params,
        opt_state=opt_state,
        layer_state=layer_state,
        average=first_average(program, params, layer_state, numbers_of(program)[1]),
        step=step,
        alive=alive,
    )
    best_loss, best_score = estimator.best_loss_, estimator.best_validation_score_
    progress = Progress(
        np.inf if best_loss is None else best_loss,
        -np.inf if best_score is None else best_score,
        estimator._stale,
    )
    return FitState(
        state=state,
        best=estimator._best,
        progress=progress,
        rate=rate,
        seen=estimator.t_,
        epochs=0,
        losses=(),
        scores=(),
    )


def new_optimizer(estimator: Any, params: Params) -> tuple[Any, Rate | None]:
    """Return the solver's state before its first step, and its learning rate rule."""
    first = estimator.learning_rate_init
    if estimator.solver == "adam":
        numbers = (first, estimator.beta_1, estimator.beta_2, estimator.epsilon)
        return adam_state(params, *numbers), None
    rate = Rate(first, estimator.learning_rate, estimator.power_t, float(first))
    return sgd_state(params, first, estimator.momentum), rate


def _keep(estimator: Any, fit_state: FitState, dtype: DTypeLike) -> None:
    """Store the final state in the estimator's attributes, as NumPy arrays."""
    state = jax.device_get(fit_state.state)
    estimator._optimizer = (state.opt_state, fit_state.rate, state.step)
    estimator._best = jax.device_get(fit_state.best)
    weights, layer_state = weights_of(state)
    if estimator.early_stopping:
        weights, layer_state = estimator._best
    estimator._keep_params(weights, dtype)
    estimator._layer_state = as_type(layer_state, dtype)
    estimator._stale = fit_state.progress.stale
    estimator.n_iter_ = fit_state.epochs
    estimator.t_ = fit_state.seen
    estimator.loss_curve_.extend(fit_state.losses)
    if fit_state.losses:
        estimator.loss_ = fit_state.losses[-1]
    if estimator.early_stopping:
        estimator.best_validation_score_ = fit_state.progress.best_score
    else:
        estimator.best_loss_ = fit_state.progress.best_loss
    if estimator.validation_scores_ is not None:
        estimator.validation_scores_.extend(fit_state.scores)


def _keep_committee(
    estimator: Any,
    specification: Specification,
    params: Params,
    layer_state: State,
    history: tuple[dict[str, float], ...],
    rows: TrainingRows,
) -> None:
    """Store the members of an ensemble in the estimator's attributes, one after the other."""
    estimator._specification = specification
    estimator._keep_params(params, rows.x.dtype)
    estimator._layer_state = as_type(layer_state, rows.x.dtype)
    losses = [record["train_loss"] for record in history]
    estimator.loss_curve_.extend(losses)
    estimator.loss_ = losses[-1]
    estimator.n_iter_ = len(history)
    estimator.t_ = len(history) * rows.n
    if not estimator.early_stopping:
        estimator.best_loss_ = min(losses)
    if estimator.validation_scores_ is not None:
        score = "validation_accuracy" if is_classifier(estimator) else "validation_r2"
        scores = [record[score] for record in history]
        estimator.validation_scores_.extend(scores)
        if estimator.early_stopping:
            estimator.best_validation_score_ = max(scores)
