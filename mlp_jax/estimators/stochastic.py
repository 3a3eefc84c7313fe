"""Epochs of gradient steps for an estimator, monitored on the host as scikit-learn does."""

import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlp_jax.estimators.epoch import run_epoch_steps
from mlp_jax.estimators.loader import EpochLoader, EpochPart
from mlp_jax.estimators.progress import Progress, Rate, next_order, stall_message
from mlp_jax.training.callbacks import Callback, EpochEnd, TrainStart
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.program import Program, TrainState, weights_of
from mlp_jax.training.engine.snapshot import Position, Snapshot
from mlp_jax.training.loop import run_epochs


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
    """Options of the training.

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
    callbacks: tuple[Callback, ...] = ()
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
    engine = SklearnEngine(plan, fit_state)
    start = Snapshot(fit_state.state)
    try:
        for callback in plan.callbacks:
            callback.on_start(TrainStart(start.position, plan.max_iter, engine.steps))
        end = run_epochs(engine, start, plan.callbacks, plan.max_iter)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
        return engine.fit_state
    if not (end.position.stopped or plan.one_epoch) and engine.fit_state.epochs == plan.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({plan.max_iter}) reached and the"
            " optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return engine.fit_state


class SklearnEngine:
    """Drives the epochs of an estimator by scikit-learn's rules; an `Engine` of the host loop.

    The host draws the order of the rows and applies the stopping rule; the loss has scikit-learn's
    penalty. `fit_state` is the state after the last whole epoch.
    """

    def __init__(self, plan: FitPlan, fit_state: FitState) -> None:
        self._plan, self.fit_state = plan, fit_state
        self._order = np.arange(plan.loader.rows.n)

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-len(self._order) // self._plan.loader.batch_size)

    def samples(self, position: Position) -> float:
        """Return how many examples of the epoch are done."""
        return min(position.done * self._plan.loader.batch_size, len(self._order))

    def calls(self, position: Position) -> Generator[tuple[int, EpochPart], None, None]:
        """Draw the order of the epoch, and yield its calls."""
        self._order = next_order(self._order, self._plan.shuffle, self._plan.random)
        for part in self._plan.loader.parts(self._order):
            yield len(part.rows), part

    def run(self, snapshot: Snapshot, call: tuple[int, EpochPart]) -> tuple[Snapshot, float]:
        """Return the snapshot after a call, and the mean loss of the epoch so far."""
        plan, (count, part) = self._plan, call
        state, totals = run_epoch_steps(plan.program, snapshot.state, *part, plan.alpha, plan.seed)
        plan.proof.result()
        totals = jax.device_get(totals)
        at = snapshot.position
        at = at._replace(
            done=at.done + count,
            loss=at.loss + float(totals.loss),
            weight=at.weight + float(totals.weight),
        )
        return Snapshot(state, at), at.loss / at.weight

    def end_epoch(
        self, snapshot: Snapshot, seconds: float, samples_per_second: float
    ) -> tuple[Snapshot, EpochEnd]:
        """Judge the epoch, set the learning rate, and stop by scikit-learn's rule."""
        plan, at, before = self._plan, snapshot.position, self.fit_state
        loss, epochs = at.loss / at.weight, before.epochs + 1
        if plan.verbose:
            print(f"Iteration {epochs}, loss = {loss:.8f}")
        fit_state = before._replace(
            state=snapshot.state,
            epochs=epochs,
            seen=before.seen + len(self._order),
            losses=(*before.losses, loss),
        )
        fit_state, score = self._judged(fit_state)
        rate = None if fit_state.rate is None else fit_state.rate.after_epoch(fit_state.seen)
        progress, stopped = fit_state.progress, False
        if progress.stale > plan.n_iter_no_change:
            message = stall_message(plan.tol, plan.n_iter_no_change, validation=plan.patient)
            rate = (rate or Rate(0.0, "constant", 0.0, 0.0)).after_stall(message, plan.verbose)
            stopped = rate is None
            if not stopped:
                progress = Progress(progress.best_loss, progress.best_score)
        self.fit_state = _with_rate(fit_state._replace(progress=progress), rate)
        metrics = {"epoch": epochs, "step": int(fit_state.state.step), "train_loss": loss}
        if score is not None:
            metrics["validation_score"] = score
        end = EpochEnd(
            epoch=epochs,
            metrics=metrics,
            state=self.fit_state.state,
            seconds=seconds,
            samples_per_second=samples_per_second,
            diagnose=None,
            diagnostics_due=False,
        )
        return Snapshot(self.fit_state.state, at._replace(stopped=stopped)), end

    def _judged(self, fit_state: FitState) -> tuple[FitState, float | None]:
        """Update the progress by the score or the loss; also return the score."""
        plan, score = self._plan, None
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
            progress, _ = fit_state.progress.after_loss(fit_state.losses[-1], plan.tol)
        return fit_state._replace(progress=progress), score


def _with_rate(fit_state: FitState, rate: Rate | None) -> FitState:
    """Set the learning rate in the optimizer's state."""
    if rate is None or fit_state.rate is None or rate == fit_state.rate:
        return fit_state
    held = fit_state.state.opt_state
    now = np.asarray(rate.now, held.rate.dtype)
    return fit_state._replace(
        rate=rate, state=fit_state.state._replace(opt_state=held._replace(rate=now))
    )
