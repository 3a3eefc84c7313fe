"""Random search in which the trials of a shape train as one compiled program.

Several shapes are searched by successive halving (Jamieson & Talwalkar 2016): each rung trains the
remaining trials from the start, for three times as many epochs as the previous one, and keeps the
best third over all shapes.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mlp_jax.errors import DivergedError, InputError
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.input.validate import check_seed
from mlp_jax.training.many.fit import ChunkCallbacks, MemberOptions, fit_many
from mlp_jax.training.many.result import ManyResult
from mlp_jax.training.result import TrainResult
from mlp_jax.training.run.build import (
    RunComponents,
    build_loss,
    build_network,
)
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.run import fit_options_of
from mlp_jax.training.sweep.config import named_numbers
from mlp_jax.training.sweep.ranges import Range

REDUCTION_FACTOR = 3  # of the number of trials from one rung to the next
Shape = tuple[int, ...]


@dataclass(frozen=True)
class SweepSpace:
    """Search space: shapes, ranges by name, trials per shape, seeds per trial."""

    shapes: tuple[Shape, ...]
    ranges: Mapping[str, Range]
    trials: int
    seeds: int

    def __post_init__(self) -> None:
        for name, value in (("trial", self.trials), ("seed", self.seeds)):
            if value < 1:
                raise InputError(f"A sweep needs at least 1 {name}, not {value}.")


class SweepTrial(NamedTuple):
    """A trial: its number in the order of drawing, its shape and its hyperparameters."""

    number: int
    hidden: Shape
    values: dict[str, float]


class RungTrials(NamedTuple):
    """Trials of one shape that train together at a rung (from 1)."""

    rung: int
    shape: Shape
    trials: tuple[SweepTrial, ...]
    seeds: int
    epochs: int

    @property
    def networks(self) -> int:
        """Number of networks."""
        return len(self.trials) * self.seeds

    @property
    def name(self) -> str:
        """Name of the shape."""
        return "-".join(map(str, self.shape)) or "no hidden layer"


@dataclass(frozen=True, kw_only=True)
class RungCallbacks:
    """Callbacks of the chunks of a rung, as `fit_many` takes them, and its memory."""

    callbacks: ChunkCallbacks | tuple[()] = ()
    memory: int | None = None
    multiple: int | None = None


WatchRung = Callable[[RungTrials], AbstractContextManager[RungCallbacks]]


class TrialScore(NamedTuple):
    """Score of a trial: mean and spread of the metric over the seeds that did not diverge.

    epochs: epochs that it trained. score: the mean, larger is better; −∞ if all seeds diverged.
    """

    trial: SweepTrial
    epochs: int
    mean: float
    spread: float
    diverged: int
    score: float


class SweepResult(NamedTuple):
    """Result of a sweep: all trials from best to worst, and the best network."""

    ranked: list[TrialScore]
    best: TrainResult
    config: TrainConfig


def draw_trials(search: SweepSpace, seed: int) -> list[SweepTrial]:
    """Draw random trials, with the same hyperparameters for every shape."""
    check_seed(seed)
    rng = np.random.default_rng(seed)
    drawn = {name: span.draw(rng, search.trials) for name, span in search.ranges.items()}
    return [
        SweepTrial(place * search.trials + k + 1, shape, {name: drawn[name][k] for name in drawn})
        for place, shape in enumerate(search.shapes)
        for k in range(search.trials)
    ]


def rungs(epochs: int, shapes: int, trials: int) -> list[int]:
    """Return the epochs of each rung: a single rung for one shape, thirds of thirds for several."""
    if shapes == 1:
        return [epochs]
    count = min(
        int(math.log(max(trials, 1), REDUCTION_FACTOR)),
        int(math.log(max(epochs, 1), REDUCTION_FACTOR)),
        2,
    )
    return [max(epochs // REDUCTION_FACTOR**k, 1) for k in range(count, -1, -1)]


def sweep(
    search: SweepSpace,
    config: TrainConfig,
    components: RunComponents,
    watch: WatchRung = lambda _: nullcontext(RungCallbacks()),
) -> SweepResult:
    """Train and rank the trials by the first metric on the validation rows.

    watch: context manager around the trials of a shape at a rung, which returns their callbacks.

    Raises:
        InputError: without validation rows.
        DivergedError: if every trial diverges.
    """
    if components.data.validation is None:
        raise InputError("A sweep needs validation rows: give --validation 0.1, for example.")
    left, done = draw_trials(search, config.seed), dict[int, TrialScore]()
    best: tuple[TrialScore, ManyResult, int] | None = None
    lengths = rungs(config.epochs, len(search.shapes), len(left))
    for number, epochs in enumerate(lengths, start=1):
        best = None
        rung: list[TrialScore] = []
        for shape in search.shapes:
            own = tuple(trial for trial in left if trial.hidden == shape)
            if not own:
                continue
            rung_trials = RungTrials(
                rung=number, shape=shape, trials=own, seeds=search.seeds, epochs=epochs
            )
            with watch(rung_trials) as rung_callbacks:
                many = _train(
                    search, replace(config, epochs=epochs), components, rung_trials, rung_callbacks
                )
            for place, trial in enumerate(own):
                scored, member = _score_trial(
                    search, trial, epochs, many, place, components.metrics[0]
                )
                rung.append(scored)
                if best is None or scored.score > best[0].score:
                    best = (scored, many, member)
        rung.sort(key=lambda scored: -scored.score)
        done |= {scored.trial.number: scored for scored in rung}
        if number < len(lengths):
            left = [scored.trial for scored in rung[: max(len(rung) // REDUCTION_FACTOR, 1)]]
    assert best is not None
    scored, many, member = best
    if scored.score == -math.inf:
        raise DivergedError("Every trial diverged; try smaller learning rates.")
    ranked = sorted(done.values(), key=lambda scored: (-scored.epochs, -scored.score))
    return SweepResult(ranked, many.member(member), trial_config(config, scored.trial))


def trial_config(config: TrainConfig, trial: SweepTrial) -> TrainConfig:
    """Return the configuration that trains one trial alone."""
    return replace(config, hidden=trial.hidden, **trial.values)  # type: ignore[arg-type]


def _train(
    search: SweepSpace,
    config: TrainConfig,
    components: RunComponents,
    rung_trials: RungTrials,
    rung_callbacks: RungCallbacks,
) -> ManyResult:
    """Train the trials of a shape, each seed of each as a member, in order."""
    varied = named_numbers(search.ranges)
    start = trial_config(config, rung_trials.trials[0])
    network = build_network(
        replace(start, dropout=start.dropout or (0.5 if "dropout" in varied else 0.0)),
        components.loss,
        components.data,
    )
    loss = build_loss(replace(start, label_smoothing=0.0), components.data)
    if "label_smoothing" not in varied:
        loss = build_loss(start, components.data)
    optimizer = replace(
        components.optimizer, learning_rate=start.learning_rate, weight_decay=start.weight_decay
    )
    seeds = [(config.seed + k) % 2**32 for _ in rung_trials.trials for k in range(search.seeds)]
    vary = {
        name: [trial.values[name] for trial in rung_trials.trials for _ in range(search.seeds)]
        for name in sorted(varied)
    }
    return fit_many(
        network,
        loss,
        optimizer,
        components.data.train,
        fit_options_of(replace(config, select="best"), components),
        members=MemberOptions(
            seeds=seeds, vary=vary, shared_order=True, memory=rung_callbacks.memory,
            multiple=rung_callbacks.multiple,
        ),
        callbacks=rung_callbacks.callbacks,
    )  # fmt: skip


def _score_trial(
    search: SweepSpace, trial: SweepTrial, epochs: int, many: ManyResult, place: int, metric: str
) -> tuple[TrialScore, int]:
    """Return the score of a trial, and its best member."""
    members = range(place * search.seeds, (place + 1) * search.seeds)
    values = many.scores(f"validation_{metric}")[members.start : members.stop]
    sign = 1.0 if higher_is_better(metric) else -1.0
    known = values[~np.isnan(values)]
    diverged = len(values) - len(known)
    if not len(known):
        return TrialScore(
            trial=trial,
            epochs=epochs,
            mean=math.nan,
            spread=math.nan,
            diverged=diverged,
            score=-math.inf,
        ), members.start
    mean, spread = float(known.mean()), float(known.std())
    best = members.start + int(np.nanargmax(sign * values))
    return TrialScore(
        trial=trial, epochs=epochs, mean=mean, spread=spread, diverged=diverged, score=sign * mean
    ), best
