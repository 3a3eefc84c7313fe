"""A sweep: random search over numbers, every shape's trials trained as one compiled program.

Several shapes are searched by successive halving (Jamieson & Talwalkar 2016): each rung trains the
trials that are left from the start, for three times as many epochs as the one before, and the best
third of all shapes together goes on.
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

KEPT = 3  # one in so many trials goes on to the next rung
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Search:
    """What is searched: shapes, ranges by name, trials a shape, seeds a trial."""

    shapes: tuple[Shape, ...]
    ranges: Mapping[str, Range]
    trials: int
    seeds: int

    def __post_init__(self) -> None:
        for name, value in (("trial", self.trials), ("seed", self.seeds)):
            if value < 1:
                raise InputError(f"A sweep needs at least 1 {name}, not {value}.")


class Trial(NamedTuple):
    """One choice of shape and numbers, by its number in the order of drawing."""

    number: int
    hidden: Shape
    values: dict[str, float]


class Leg(NamedTuple):
    """What trains together: the trials of one shape that are left at a rung (from 1)."""

    rung: int
    shape: Shape
    trials: tuple[Trial, ...]
    seeds: int
    epochs: int

    @property
    def networks(self) -> int:
        """How many networks that is."""
        return len(self.trials) * self.seeds

    @property
    def name(self) -> str:
        """The shape in words."""
        return "-".join(map(str, self.shape)) or "no hidden layer"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """How a leg is watched: `callbacks` of each chunk, as `fit_many` takes them; its memory."""

    callbacks: ChunkCallbacks | tuple[()] = ()
    memory: int | None = None
    multiple: int | None = None


Watch = Callable[[Leg], AbstractContextManager[Watched]]


class Scored(NamedTuple):
    """How a trial did: the metric's mean and spread over the seeds that did not diverge.

    epochs: how long it trained.  score: the mean, larger is better; −∞ where all diverged.
    """

    trial: Trial
    epochs: int
    mean: float
    spread: float
    diverged: int
    score: float


class Found(NamedTuple):
    """All trials from best to worst, and the best trial's best network."""

    ranked: list[Scored]
    best: TrainResult
    config: TrainConfig


def draw_trials(search: Search, seed: int) -> list[Trial]:
    """Random trials; every shape meets the same numbers. InputError for what is no seed."""
    check_seed(seed)
    rng = np.random.default_rng(seed)
    drawn = {name: span.draw(rng, search.trials) for name, span in search.ranges.items()}
    return [
        Trial(place * search.trials + k + 1, shape, {name: drawn[name][k] for name in drawn})
        for place, shape in enumerate(search.shapes)
        for k in range(search.trials)
    ]


def rungs(epochs: int, shapes: int, trials: int) -> list[int]:
    """The epochs of each rung: all at once for one shape, thirds of thirds for several."""
    if shapes == 1:
        return [epochs]
    count = min(int(math.log(max(trials, 1), KEPT)), int(math.log(max(epochs, 1), KEPT)), 2)
    return [max(epochs // KEPT**k, 1) for k in range(count, -1, -1)]


def sweep(
    search: Search,
    config: TrainConfig,
    parts: RunComponents,
    watch: Watch = lambda _: nullcontext(Watched()),
) -> Found:
    """Trains and ranks the trials by the first metric on the validation rows.

    watch: surrounds each leg, and gives its callbacks.
    DivergedError where every trial diverges, InputError where there are no validation rows.
    """
    if parts.data.validation is None:
        raise InputError("A sweep chooses by validation rows: give --validation 0.1, say.")
    left, done = draw_trials(search, config.seed), dict[int, Scored]()
    best: tuple[Scored, ManyResult, int] | None = None
    lengths = rungs(config.epochs, len(search.shapes), len(left))
    for number, epochs in enumerate(lengths, start=1):
        best = None
        rung: list[Scored] = []
        for shape in search.shapes:
            own = tuple(trial for trial in left if trial.hidden == shape)
            if not own:
                continue
            leg = Leg(number, shape, own, search.seeds, epochs)
            with watch(leg) as watched:
                many = _train(search, replace(config, epochs=epochs), parts, leg, watched)
            for place, trial in enumerate(own):
                scored, member = _scored(search, trial, epochs, many, place, parts.metrics[0])
                rung.append(scored)
                if best is None or scored.score > best[0].score:
                    best = (scored, many, member)
        rung.sort(key=lambda scored: -scored.score)
        done |= {scored.trial.number: scored for scored in rung}
        if number < len(lengths):
            left = [scored.trial for scored in rung[: max(len(rung) // KEPT, 1)]]
    assert best is not None
    scored, many, member = best
    if scored.score == -math.inf:
        raise DivergedError("Every trial diverged; try smaller learning rates.")
    ranked = sorted(done.values(), key=lambda scored: (-scored.epochs, -scored.score))
    return Found(ranked, many.member(member), trial_config(config, scored.trial))


def trial_config(config: TrainConfig, trial: Trial) -> TrainConfig:
    """The configuration that trains one trial by itself."""
    return replace(config, hidden=trial.hidden, **trial.values)  # type: ignore[arg-type]


def _train(
    search: Search,
    config: TrainConfig,
    parts: RunComponents,
    leg: Leg,
    watched: Watched,
) -> ManyResult:
    """Train the trials of a leg, each seed of each as a member, in the order of the trials."""
    varied = named_numbers(search.ranges)
    start = trial_config(config, leg.trials[0])
    network = build_network(
        replace(start, dropout=start.dropout or (0.5 if "dropout" in varied else 0.0)),
        parts.loss,
        parts.data,
    )
    loss = build_loss(replace(start, label_smoothing=0.0), parts.data)
    if "label_smoothing" not in varied:
        loss = build_loss(start, parts.data)
    optimizer = replace(
        parts.optimizer, learning_rate=start.learning_rate, weight_decay=start.weight_decay
    )
    seeds = [(config.seed + k) % 2**32 for _ in leg.trials for k in range(search.seeds)]
    vary = {
        name: [trial.values[name] for trial in leg.trials for _ in range(search.seeds)]
        for name in sorted(varied)
    }
    return fit_many(
        network,
        loss,
        optimizer,
        parts.data.train,
        fit_options_of(replace(config, select="best"), parts),
        members=MemberOptions(
            seeds=seeds, vary=vary, shared_order=True, memory=watched.memory,
            multiple=watched.multiple,
        ),
        callbacks=watched.callbacks,
    )  # fmt: skip


def _scored(
    search: Search, trial: Trial, epochs: int, many: ManyResult, place: int, metric: str
) -> tuple[Scored, int]:
    """How a trial did, and its best member."""
    members = range(place * search.seeds, (place + 1) * search.seeds)
    values = many.scores(f"validation_{metric}")[members.start : members.stop]
    sign = 1.0 if higher_is_better(metric) else -1.0
    known = values[~np.isnan(values)]
    diverged = len(values) - len(known)
    if not len(known):
        return Scored(trial, epochs, math.nan, math.nan, diverged, -math.inf), members.start
    mean, spread = float(known.mean()), float(known.std())
    best = members.start + int(np.nanargmax(sign * values))
    return Scored(trial, epochs, mean, spread, diverged, sign * mean), best
