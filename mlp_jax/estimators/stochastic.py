"""Epochs of gradient steps for an estimator, watched on the host as scikit-learn does."""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlp_jax.estimators.epoch import run_epoch_steps
from mlp_jax.estimators.loader import Feed
from mlp_jax.estimators.progress import Progress, Rate, next_order, stall_message
from mlp_jax.training.callbacks import EpochEnd
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.program import Program, TrainState, weights_of


class Judge(NamedTuple):
    """Rows to judge each epoch by, and f(predictions (N, C)) -> score."""

    data: DeviceData
    one_by_one: bool
    score: Callable[[np.ndarray], float]

    def __call__(self, program: Program, state: TrainState) -> float:
        """The score of the weights as they are now."""
        weights = weights_of(state)
        found, _ = predictions_and_losses(program, self.one_by_one, *weights, self.data)
        return self.score(np.asarray(found))


class Course(NamedTuple):
    """What the loop needs to know. patient: judge by the score, and keep the best weights.

    proof: of the gradient; no step is kept before it has passed.
    rate: the rule of the learning rate, where the optimizer's state has one that the host sets.
    """

    program: Program
    feed: Feed
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


class Run(NamedTuple):
    """Where a training is: everything that goes on where another call takes it up."""

    state: TrainState
    best: tuple[Any, Any]
    progress: Progress
    rate: Rate | None
    seen: int
    epochs: int
    losses: tuple[float, ...]
    scores: tuple[float, ...]


def train(course: Course, run: Run) -> Run:
    """All epochs, or as many as the loss, the score, the callbacks or Ctrl-C allow."""
    order = np.arange(course.feed.rows.n)
    try:
        while run.epochs < course.max_iter:
            order = next_order(order, course.shuffle, course.random)
            run, stop = _after_epoch(course, *_one_epoch(course, run, order))
            if stop or course.one_epoch:
                break
            if run.epochs == course.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({course.max_iter}) reached and the"
                    " optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    return run


def _one_epoch(course: Course, run: Run, order: np.ndarray) -> tuple[Run, float]:
    """The run after the steps of an epoch, with its loss, and the seconds that they took."""
    started, state = time.perf_counter(), run.state
    loss, counted = 0.0, 0.0
    for piece in course.feed.pieces(order):
        state, totals = run_epoch_steps(course.program, state, *piece, course.alpha, course.seed)
        course.proof.result()
        totals = jax.device_get(totals)
        loss += float(totals.loss)
        counted += float(totals.weight)
    seconds = time.perf_counter() - started
    run = run._replace(
        state=state,
        epochs=run.epochs + 1,
        seen=run.seen + len(order),
        losses=(*run.losses, loss / counted),
    )
    return run, seconds


def _after_epoch(course: Course, run: Run, seconds: float) -> tuple[Run, bool]:
    """Judges the epoch and sets the learning rate; and whether training is over."""
    loss, score = run.losses[-1], None
    if course.verbose:
        print(f"Iteration {run.epochs}, loss = {loss:.8f}")
    if course.judge is not None:
        score = course.judge(course.program, run.state)
        run = run._replace(scores=(*run.scores, score))
        if course.verbose:
            print(f"Validation score: {score:f}")
    if course.patient and score is not None:
        progress, best = run.progress.after_score(score, course.tol)
        if best:
            run = run._replace(best=weights_of(run.state))
    else:
        progress, _ = run.progress.after_loss(loss, course.tol)
    rate = None if run.rate is None else run.rate.after_epoch(run.seen)
    stop = _told(course, run, seconds, score)
    if progress.stale > course.n_iter_no_change:
        message = stall_message(course.tol, course.n_iter_no_change, validation=course.patient)
        rate = (rate or Rate(0.0, "constant", 0.0, 0.0)).after_stall(message, course.verbose)
        stop = stop or rate is None
        progress = progress if rate is None else Progress(progress.best_loss, progress.best_score)
    return _with_rate(run._replace(progress=progress), rate), stop


def _with_rate(run: Run, rate: Rate | None) -> Run:
    """The run with this learning rate in its optimizer's state."""
    if rate is None or run.rate is None or rate == run.rate:
        return run
    held = run.state.opt_state
    now = np.asarray(rate.now, held.rate.dtype)
    return run._replace(rate=rate, state=run.state._replace(opt_state=held._replace(rate=now)))


def _told(course: Course, run: Run, seconds: float, score: float | None) -> bool:
    """Shows the epoch to the callbacks; whether one of them ends the training."""
    if not course.callbacks:
        return False
    metrics = {"epoch": run.epochs, "step": int(run.state.step), "train_loss": run.losses[-1]}
    if score is not None:
        metrics["validation_score"] = score
    speed = course.feed.rows.n / seconds if seconds else 0.0
    end = EpochEnd(run.epochs, metrics, run.state, seconds, speed, None, False)
    answers = [callback(end) for callback in course.callbacks]
    return any(answers)
