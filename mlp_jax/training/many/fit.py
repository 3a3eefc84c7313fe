"""`fit_many`: many networks of one shape trained as one compiled program."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

from mlp_jax.backprop import Layer, Loss
from mlp_jax.errors import InputError
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import (
    Callback,
    CallbackLike,
    TrainStart,
    as_callbacks,
    first_restored,
)
from mlp_jax.training.engine.snapshot import Snapshot
from mlp_jax.training.fit import pass_on
from mlp_jax.training.fit_options import FitOptions, fit_options
from mlp_jax.training.input.validate import Rows, check_seed
from mlp_jax.training.loop import run_epochs
from mlp_jax.training.many.engine import Chunk, ManyEngine
from mlp_jax.training.many.member_steps import ManyState, MemberInputs, first_states
from mlp_jax.training.many.memory import bytes_a_member, chunk_size, filled, room
from mlp_jax.training.many.result import ManyResult, concatenate_chunks
from mlp_jax.training.many.vary import Recipe, Vary, check_vary, numbers, with_varied_decay
from mlp_jax.training.mesh.mesh_shape import (
    choose_devices,
    member_sharding,
    multiple_of_members,
    replicate_to_members,
    shard_members,
)
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.optim.open_optimizer import with_numbers_of
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.plan import TrainPlan, make_plan, verify

ChunkCallbacks = Callable[[int, int], Iterable[CallbackLike]]


@dataclass(frozen=True, kw_only=True)
class MemberOptions:
    """Options of the members of `fit_many`, besides those of each network.

    Args:
        seeds: seed of each member: of its weights, the order of its batches, and its dropout.
        vary: numbers that differ, one per member: learning_rate, weight_decay, dropout (of every
            Dropout layer), label_smoothing, initial_scale (a factor on the initial weights).
        member_weight: weight of each training row for each member, shape (K, N), besides the other
            weights (`bootstrap_weights`).
        shared_order: all members see the same batches, in the order of the option `seed`. The
            first layer of all is then one product, which is much faster on a CPU.
        memory: bytes that the members may take together (default: half of what is free). If they
            need more, they train one chunk after another.
        multiple: number of members that a chunk is filled up to a multiple of, so that it lies
            evenly on the devices of several processes.
    """

    seeds: Sequence[int]
    vary: Vary | None = None
    member_weight: Any = None
    shared_order: bool = False
    memory: int | None = None
    multiple: int | None = None


def fit_many(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    options: FitOptions | None = None,
    *,
    members: MemberOptions | None = None,
    callbacks: Iterable[CallbackLike] | ChunkCallbacks = (),
    **keywords: Any,
) -> ManyResult:
    """Train K networks at once, after one gradient check; each as `fit` would train it alone.

    Args:
        network, loss, optimizer, data, options: as for `fit`.
        members: a `MemberOptions`.
        callbacks: as for `fit`; their `on_epoch_end` receives a `ManyEpochEnd`. Or a function of
            the number of a chunk's first member and of how many train at once, which returns the
            callbacks of that chunk.
        **keywords: fields of `FitOptions` and `MemberOptions`, as in `fit_many(…, seeds=range(8))`.

    Returns:
        The networks, as a `ManyResult`. One that diverges is masked and named in `failures`; the
        others continue.

    Raises:
        InputError: for options that cannot vary, and what `fit` raises it for.
        ProofError: if the gradient check fails.
    """
    own, keywords = _member_options(members, keywords)
    options = fit_options(options, keywords)
    plan = make_plan(network, loss, optimizer, data, options, many=True)
    vary = own.vary or {}
    check_vary(vary, len(own.seeds), plan.program, plan.optimizer)
    plan = replace(plan, program=with_varied_decay(plan.program, vary, plan.optimizer)).guarded()
    recipe = Recipe(plan.program, plan.optimizer, plan.steps, own.shared_order)
    listeners = callbacks if callable(callbacks) else tuple(callbacks)
    with plan.precision.active(), jax.default_device(plan.device):
        training = _Training(plan, recipe, own)
        first = training.listeners(listeners, 0)
        report = training.verified(first)
        parts = [
            training.train(start, first if start == 0 else training.listeners(listeners, start))
            for start in range(0, len(own.seeds), training.size)
        ]
        return concatenate_chunks(parts, own.seeds, vary, report, recipe, plan)


def _member_options(
    members: MemberOptions | None, keywords: dict[str, Any]
) -> tuple[MemberOptions, dict[str, Any]]:
    """Return the options of the members, and the other keywords."""
    names = MemberOptions.__dataclass_fields__.keys()
    own = {name: value for name, value in keywords.items() if name in names}
    rest = {name: value for name, value in keywords.items() if name not in names}
    if members is None and "seeds" not in own:
        raise TypeError("fit_many needs the seeds of its members, as in seeds=range(8).")
    found = MemberOptions(**own) if members is None else replace(members, **own)
    if not len(found.seeds):
        raise InputError("Training needs at least 1 member: give a seed for each.")
    for seed in found.seeds:
        check_seed(seed)
    return found, rest


class _Training:
    """The members of a plan, chunk by chunk."""

    def __init__(self, plan: TrainPlan, recipe: Recipe, own: MemberOptions) -> None:
        self._plan, self._recipe, self._own = plan, recipe, own
        self._weights = _member_weights(plan, own.member_weight, len(own.seeds))
        devices, device = plan.options.devices, plan.device
        size = _chunk_size(plan, recipe, own, len(choose_devices(devices, device)))
        self.size = filled(size, own.multiple or multiple_of_members(devices, device))
        self._placed: Any = None

    def listeners(
        self, given: tuple[CallbackLike, ...] | ChunkCallbacks, first: int
    ) -> tuple[Callback, ...]:
        """Return the callbacks of the chunk that begins with member `first`."""
        return as_callbacks(given(first, self.size) if callable(given) else given)

    def verified(self, callbacks: tuple[Callback, ...]) -> Report:
        """Return the gradient check, at the parameters of the first member."""
        own = self._members(np.zeros(1, np.int64))
        state = first_states(self._recipe, self._plan.n_in, False, own.seeds, own.numbers)
        report = verify(self._plan, jax.tree.map(lambda leaf: leaf[0], state.members))
        pass_on(report, callbacks)
        return report

    def train(self, first: int, callbacks: tuple[Callback, ...]) -> Snapshot:
        """Train a chunk; return its state on the host, without that of the optimizer."""
        options, count = self._plan.options, len(self._own.seeds)
        spread = member_sharding(options.devices, self._plan.device, self.size)
        if self._placed is None:
            self._placed = replicate_to_members(self._plan.place(), spread)
        data, validation = self._placed
        # A last chunk that is short repeats its last member: nothing is compiled anew.
        chosen = np.minimum(np.arange(first, first + self.size), count - 1)
        own = self._members(chosen, spread)
        if self._weights is not None:
            weights = np.asarray(self._weights[chosen], self._plan.program.dtype)
            data = data._replace(weights=shard_members(jnp.asarray(weights), spread))
        state: ManyState = shard_members(
            first_states(
                self._recipe, self._plan.n_in, self._plan.keeps_best, own.seeds, own.numbers
            ),
            spread,
        )
        snapshot = _resumed(callbacks, state)
        members = min(self.size, count - first)
        chunk = Chunk(first=first, members=members, own=own, data=data, validation=validation)
        engine = ManyEngine(self._plan, self._recipe, chunk, state)
        for callback in callbacks:
            callback.on_start(TrainStart(snapshot.position, options.epochs, engine.steps))
        done = run_epochs(engine, snapshot, callbacks, options.epochs)
        trained = done.state.members._replace(opt_state=())
        return Snapshot(read(done.state._replace(members=trained)), done.position)

    def _members(self, chosen: np.ndarray, spread: NamedSharding | None = None) -> MemberInputs:
        """Return the seeds and numbers of some of the members, on their devices."""
        seeds, vary = self._own.seeds, self._own.vary or {}
        every = numbers(vary, self._recipe, len(seeds))
        picked = jax.tree.map(lambda values: values[chosen], every)
        own = (jnp.asarray(np.asarray(seeds, np.uint32)[chosen]), picked)
        own_seeds, own_numbers = shard_members(own, spread)
        return MemberInputs(own_seeds, own_numbers, spread)


def _resumed(callbacks: tuple[Callback, ...], first: ManyState) -> Snapshot:
    """Return what a callback restores, with the numbers of now; else where the members start."""
    found = first_restored(callbacks, first)
    if found is None:
        return Snapshot(first)
    members, now = found.state.members, first.members
    opt_state = with_numbers_of(now.opt_state, members.opt_state)
    members = members._replace(opt_state=opt_state)
    return found._replace(state=found.state._replace(members=members))


def _member_weights(plan: TrainPlan, given: Any, count: int) -> np.ndarray | None:
    """Return the weights of each member, (K, N), times those of the rows."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    if weights.shape != (count, len(plan.rows)):
        raise InputError(
            f"{count} members and {len(plan.rows)} training rows need member weights of shape"
            f" {(count, len(plan.rows))}, not {weights.shape}."
        )
    usable = np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any(1).all()
    if not usable:
        raise InputError("Member weights must be finite, not negative, and not all 0 for a member.")
    return weights if plan.weights is None else weights * plan.weights[None, :]


def _chunk_size(plan: TrainPlan, recipe: Recipe, own: MemberOptions, devices: int) -> int:
    """Return how many members train at once: what fits into the memory of all devices."""
    judged = 0 if plan.validation is None else len(plan.validation)
    each = bytes_a_member(recipe, plan.n_in, plan.keeps_best, judged)
    memory = room(plan.device, devices) if own.memory is None else own.memory
    return chunk_size(len(own.seeds), each, memory)
