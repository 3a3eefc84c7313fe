"""Epochs of gradient steps for an estimator, monitored on the host as scikit-learn does."""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlp_jax.estimators.epoch import run_epoch_steps
from mlp_jax.estimators.loader import EpochLoader
from mlp_jax.estimators.progress import Progress, Rate, next_order, stall_message
from mlp_jax.training.callbacks import EpochEnd
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.program import Program, TrainState, weights_of


class Judge(NamedTuple):
    """Validation rows for each epoch, and f(predictions (N, C)) -> score."""

    data: DeviceData
    multilabel: bool
    score: Callable[[np.ndarray], float]

    def __call__(self, program: Program, state: TrainState) -> float:
        """Return the score of the current weights."""
        weights = weights_of(state)
        found, _ = predictions_and_losses(program, self.multilabel, *weights, self.data)
        return self.score(np.asarray(found))


class FitPlan(NamedTuple):
    """Options of the loop.

    patient: judge by the score, and keep the best weights.  proof: the gradient check; no step is
    kept before it has passed.  rate: the learning rate rule, if the host sets the rate in the
    optimizer's state.
    """

    program: Program
    loader: EpochLoader
    random: np.random.RandomState
    alpha: Any
    seed: np.uint32
    shuffle: bool
    max_iter: int
    tol: float
    n_iter_no_change: float
    verbose: bool
    proof: "Future[None]"
    judge: Judge | None
    patient: bool
    rate: Rate | None
    callbacks: tuple[Callable[[EpochEnd], bool | None], ...] = ()
    one_epoch: bool = False


class FitState(NamedTuple):
    """State of a fit: everything that a later call resumes from."""

    state: TrainState
    best: tuple[Any, Any]
    progress: Progress
    rate: Rate | None
    seen: int
    epochs: int
    losses: tuple[float, ...]
    scores: tuple[float, ...]


def train(plan: FitPlan, fit_state: FitState) -> FitState:
    """Run all epochs, or as many as the loss, the score, the callbacks or Ctrl-C allow."""
    order = np.arange(plan.loader.rows.n)
    try:
        while fit_state.epochs < plan.max_iter:
            order = next_order(order, plan.shuffle, plan.random)
            fit_state, stop = _after_epoch(plan, *_one_epoch(plan, fit_state, order))
            if stop or plan.one_epoch:
                break
            if fit_state.epochs == plan.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({plan.max_iter}) reached and the"
                    " optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    return fit_state


def _one_epoch(plan: FitPlan, fit_state: FitState, order: np.ndarray) -> tuple[FitState, float]:
    """Run the steps of an epoch; return the state with its loss, and the seconds."""
    started, state = time.perf_counter(), fit_state.state
    loss, counted = 0.0, 0.0
    for piece in plan.loader.parts(order):
        state, totals = run_epoch_steps(plan.program, state, *piece, plan.alpha, plan.seed)
        plan.proof.result()
        totals = jax.device_get(totals)
        loss += float(totals.loss)
        counted += float(totals.weight)
    seconds = time.perf_counter() - started
    fit_state = fit_state._replace(
        state=state,
        epochs=fit_state.epochs + 1,
        seen=fit_state.seen + len(order),
        losses=(*fit_state.losses, loss / counted),
    )
    return fit_state, seconds


def _after_epoch(plan: FitPlan, fit_state: FitState, seconds: float) -> tuple[FitState, bool]:
    """Judge the epoch and set the learning rate; also return True if training is over."""
    loss, score = fit_state.losses[-1], None
    if plan.verbose:
        print(f"Iteration {fit_state.epochs}, loss = {loss:.8f}")
    if plan.judge is not None:
        score = plan.judge(plan.program, fit_state.state)
        fit_state = fit_state._replace(scores=(*fit_state.scores, score))
        if plan.verbose:
            print(f"Validation score: {score:f}")
    if plan.patient and score is not None:
        progress, best = fit_state.progress.after_score(score, plan.tol)
        if best:
            fit_state = fit_state._replace(best=weights_of(fit_state.state))
    else:
        progress, _ = fit_state.progress.after_loss(loss, plan.tol)
    rate = None if fit_state.rate is None else fit_state.rate.after_epoch(fit_state.seen)
    stop = _call_back(plan, fit_state, seconds, score)
    if progress.stale > plan.n_iter_no_change:
        message = stall_message(plan.tol, plan.n_iter_no_change, validation=plan.patient)
        rate = (rate or Rate(0.0, "constant", 0.0, 0.0)).after_stall(message, plan.verbose)
        stop = stop or rate is None
        progress = progress if rate is None else Progress(progress.best_loss, progress.best_score)
    return _with_rate(fit_state._replace(progress=progress), rate), stop


def _with_rate(fit_state: FitState, rate: Rate | None) -> FitState:
    """Set the learning rate in the optimizer's state."""
    if rate is None or fit_state.rate is None or rate == fit_state.rate:
        return fit_state
    held = fit_state.state.opt_state
    now = np.asarray(rate.now, held.rate.dtype)
    return fit_state._replace(
        rate=rate, state=fit_state.state._replace(opt_state=held._replace(rate=now))
    )


def _call_back(plan: FitPlan, fit_state: FitState, seconds: float, score: float | None) -> bool:
    """Call the callbacks; return True if one of them stops training."""
    if not plan.callbacks:
        return False
    metrics = {
        "epoch": fit_state.epochs,
        "step": int(fit_state.state.step),
        "train_loss": fit_state.losses[-1],
    }
    if score is not None:
        metrics["validation_score"] = score
    speed = plan.loader.rows.n / seconds if seconds else 0.0
    end = EpochEnd(fit_state.epochs, metrics, fit_state.state, seconds, speed, None, False)
    answers = [callback(end) for callback in plan.callbacks]
    return any(answers)
