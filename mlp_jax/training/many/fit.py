"""`fit_many`: many networks of one shape trained as one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

from mlp_jax.backprop import Layer, Loss
from mlp_jax.data import Scaling
from mlp_jax.errors import InputError, ProofError
from mlp_jax.proof import Report
from mlp_jax.training.checkpoint.manager import Checkpoints
from mlp_jax.training.checkpoint.snapshot import Position, Snapshot
from mlp_jax.training.input.validate import Rows, check_seed
from mlp_jax.training.loop import Select, Watched
from mlp_jax.training.many.engine import (
    ManyEpochEnd,
    ManyPlan,
    run_members_epochs,
)
from mlp_jax.training.many.joining import joined
from mlp_jax.training.many.memory import bytes_a_member, chunk_size, filled, room
from mlp_jax.training.many.result import FittedMany
from mlp_jax.training.many.together import Members, first_states
from mlp_jax.training.many.vary import (
    Recipe,
    Vary,
    check_vary,
    numbers,
    with_varied_decay,
)
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.mesh.shape import (
    apart,
    everywhere,
    members_over,
    multiple_of_members,
    visible,
)
from mlp_jax.training.optim.open_optimizer import with_numbers_of
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.plan import prove, settle
from mlp_jax.training.settled import Settled


def fit_many(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    *,
    seeds: Sequence[int],
    vary: Vary | None = None,
    member_weight: np.ndarray | None = None,
    shared_order: bool = False,
    memory: int | None = None,
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
    importance: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    devices: int | None = None,
    callbacks: Sequence[Callable[[ManyEpochEnd], bool | None]] = (),
    tick: Callable[[int, float, float, float], None] | None = None,
    proved: Callable[[Report], None] | None = None,
    schedule_epochs: int | None = None,
    checkpoints: Callable[[int, int], Checkpoints] | None = None,
    multiple: int | None = None,
    started: Callable[[Position], None] | None = None,
) -> FittedMany:
    """Trains K = len(seeds) networks at once, after one proof; each as `fit` would by itself.

    seeds: each member's seed, of its weights, the order of its batches, and its dropout.
    vary: numbers that differ, one a member: learning_rate, weight_decay, dropout (of every Dropout
    layer), label_smoothing, initial_scale (a factor on the initial weight matrices).
    member_weight (K, N): how much each training row counts for each member, besides the other
    weights (`bootstrap_weights`).  shared_order: all members see the same batches, in the order
    of `seed`; the first layer of all is then one product, and on a CPU this is much faster.
    memory: bytes that the members may take together, else half of what is free; where they need
    more, they train one chunk after another.  seed: of the rows held out, where validation is a
    fraction.  devices: the members are spread over so many, None for all GPUs or one CPU (as many
    as divide their number evenly).  checkpoints: given the number of a chunk's first member and how
    many train at once, says where to save that chunk.  multiple: what the number that trains at
    once is filled up to, by repeating members, so that it lies evenly on the devices of several
    processes; else their number. All other arguments are those of `fit`.

    A member that diverges is masked and named in `failures`; the others go on. Raises what `fit`
    raises for bad input, and InputError for what cannot vary.
    """
    vary = {} if vary is None else vary
    _check_seeds(seeds)
    settled = settle(
        network, loss, optimizer, data, epochs=epochs, batch_size=batch_size, seed=seed,
        validation=validation, sample_weight=sample_weight, class_weight=class_weight,
        scaling=scaling, target_scaling=target_scaling, metrics=metrics, patience=patience,
        select=select, monitor=monitor, average=average, importance=importance,
        precision=precision, device=device, schedule_epochs=schedule_epochs,
        side_by_side=True,
    )  # fmt: skip
    check_vary(vary, len(seeds), settled.program, settled.optimizer)
    program = with_varied_decay(settled.program, vary, settled.optimizer)
    settled = settled._replace(program=program).guarded()
    recipe = Recipe(settled.program, settled.optimizer, settled.steps, shared_order)
    plan = ManyPlan(settled, epochs, patience, np.uint32(seed), tuple(callbacks), tick)
    keeps_best = patience is not None or select == "best"
    weights = _member_weights(settled, member_weight, len(seeds))
    with settled.precision.active(), jax.default_device(settled.device):
        report = _proved(settled, recipe, vary, seeds, proved)
        placed, watched = settled.place()
        there = len(visible(devices, settled.device))
        size = _chunk(recipe, settled, keeps_best, len(seeds), memory, there)
        size = filled(size, multiple or multiple_of_members(devices, settled.device))
        spread = members_over(devices, settled.device, size)
        placed, watched = everywhere((placed, watched), spread)
        parts = []
        for first in range(0, len(seeds), size):
            # A last chunk that is short repeats its last member: nothing is compiled anew.
            chosen = np.minimum(np.arange(first, first + size), len(seeds) - 1)
            own = _members(recipe, vary, seeds, chosen, spread)
            data_of = placed
            if weights is not None:
                own_weights = np.asarray(weights[chosen], settled.program.dtype)
                data_of = placed._replace(weights=apart(jnp.asarray(own_weights), spread))
            width = settled.rows.x.shape[1]
            state = first_states(recipe, width, keeps_best, own.seeds, own.numbers)
            snapshot = Snapshot(apart(state, spread))
            plan = plan._replace(first=first, members=min(size, len(seeds) - first))
            if checkpoints is not None:
                keeper = checkpoints(first, size)
                snapshot = _restored(keeper, snapshot)
                plan = plan._replace(keep=keeper)
            if started is not None:
                started(snapshot.position)
            parts.append(_train(recipe, snapshot, data_of, watched, own, plan))
        return joined(parts, seeds, vary, report, recipe, settled, patience)


def _restored(keeper: Checkpoints, first: Snapshot) -> Snapshot:
    """Where the checkpoints have the members, with the numbers of now; else where they start."""
    found = keeper.restore(first.state)
    if found is None:
        return first
    members, now = found.state.members, first.state.members
    opt_state = with_numbers_of(now.opt_state, members.opt_state)
    members = members._replace(opt_state=opt_state)
    return found._replace(state=found.state._replace(members=members))


def _train(
    recipe: Recipe,
    snapshot: Snapshot,
    data: Any,
    watched: Watched | None,
    own: Members,
    plan: ManyPlan,
) -> Snapshot:
    """A chunk, trained; its state on the host, without what the optimizer remembers."""
    done = run_members_epochs(recipe, snapshot, data, watched, own, plan)
    members = done.state.members._replace(opt_state=())
    return Snapshot(read(done.state._replace(members=members)), done.position)


def _check_seeds(seeds: Sequence[int]) -> None:
    if not len(seeds):
        raise InputError("Training needs at least 1 member: give a seed for each.")
    for seed in seeds:
        check_seed(seed)


def _member_weights(settled: Settled, given: Any, count: int) -> np.ndarray | None:
    """(K, N): each member's own weights times those of the rows."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    if weights.shape != (count, len(settled.rows)):
        raise InputError(
            f"{count} members and {len(settled.rows)} training rows need member weights of shape"
            f" {(count, len(settled.rows))}, not {weights.shape}."
        )
    usable = np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any(1).all()
    if not usable:
        raise InputError("Member weights are finite, not negative, and not all 0 for a member.")
    return weights if settled.weights is None else weights * settled.weights[None, :]


def _members(
    recipe: Recipe,
    vary: Vary,
    seeds: Sequence[int],
    chosen: np.ndarray,
    spread: NamedSharding | None = None,
) -> Members:
    """The seeds and numbers of some of the members, on their devices."""
    all_numbers = numbers(vary, recipe, len(seeds))
    picked = jax.tree.map(lambda values: values[chosen], all_numbers)
    own = (jnp.asarray(np.asarray(seeds, np.uint32)[chosen]), picked)
    own_seeds, own_numbers = apart(own, spread)
    return Members(own_seeds, own_numbers, spread)


def _proved(
    settled: Settled,
    recipe: Recipe,
    vary: Vary,
    seeds: Sequence[int],
    tell: Callable[[Report], None] | None,
) -> Report:
    """The proof, at the first member's parameters."""
    own = _members(recipe, vary, seeds, np.zeros(1, np.int64))
    first = first_states(recipe, settled.rows.x.shape[1], False, own.seeds, own.numbers).members
    report = prove(settled, jax.tree.map(lambda leaf: leaf[0], first))
    if tell is not None:
        tell(report)
    if not report.ok:
        raise ProofError(f"The gradient fails the proof at {report.fault}.")
    return report


def _chunk(
    recipe: Recipe,
    settled: Settled,
    keeps_best: bool,
    count: int,
    memory: int | None,
    devices: int,
) -> int:
    """How many members train at once: what fits into the memory of all devices."""
    judged = 0 if settled.watched is None else len(settled.watched)
    each = bytes_a_member(recipe, settled.rows.x.shape[1], keeps_best, judged)
    return chunk_size(count, each, room(settled.device, devices) if memory is None else memory)
