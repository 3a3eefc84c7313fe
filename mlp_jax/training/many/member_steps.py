"""Compiled epoch of many networks: `step` of each member by `vmap`, in one program.

If all members see the same batch, `vmap` leaves it without a member axis, and the first layer of
all members is one product (B, I) @ (I, K·J), and so is its ∇W: XLA puts the member axis of W beside
J. With separate batches, the products stay K small ones.

K members, B examples in a batch, I inputs, J outputs of a layer, N rows, C outputs.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt32

from mlp_jax.backprop.specification import Params, State
from mlp_jax.training.engine.batches import DeviceData, epoch_order
from mlp_jax.training.engine.bounded import BoundedJit
from mlp_jax.training.engine.epoch import predict_rows
from mlp_jax.training.engine.program import Keys, TrainState, first_average, first_state, weights_of
from mlp_jax.training.engine.step import step
from mlp_jax.training.many.vary import MemberNumbers, Recipe, bind
from mlp_jax.training.optim.open_optimizer import with_numbers

Seeds = UInt32[Array, " K"]


class MemberInputs(NamedTuple):
    """Seeds and numbers of the members of a chunk, on the device, and their sharding."""

    seeds: Any
    numbers: MemberNumbers
    where: NamedSharding | None = None


class BestWeights(NamedTuple):
    """Weights of the best epoch of each member. score: larger is better; epoch 0: none yet."""

    score: Float[Array, " K"]
    epoch: Int[Array, " K"]
    params: Params
    layer_state: State


class ManyState(NamedTuple):
    """State of K members as one pytree; the first axis of every leaf is K.

    members.alive: False after the first non-finite update, and for a stopped member. loss, weight:
    sums over the current epoch. best: () if best weights are not kept.
    """

    members: TrainState
    loss: Float[Array, " K"]
    weight: Float[Array, " K"]
    stopped: Bool[Array, " K"]
    best: BestWeights | tuple[()]

    @property
    def step(self) -> Array:
        """Largest number of steps of any member."""
        return jnp.max(self.members.step)


@partial(BoundedJit, static=3)
def first_states(
    recipe: Recipe, n_in: int, keeps_best: bool, seeds: Seeds, own: MemberNumbers
) -> ManyState:
    """Return the state of every member at step 0, drawn from its seed."""

    def one(seed: Array, own: MemberNumbers) -> TrainState:
        program = bind(recipe, own)
        state = first_state(program, seed, n_in, None, (own.optimizer, own.average))
        if own.initial_scale is None:
            return state
        scale = own.initial_scale
        params = jax.tree.map(lambda p: p * scale if p.ndim > 1 else p, state.params)
        average = first_average(program, params, state.layer_state, own.average)
        opt_state = with_numbers(program.optimizer.init(params), own.optimizer)
        return state._replace(params=params, opt_state=opt_state, average=average)

    members = jax.vmap(one)(seeds, own)
    count, dtype = seeds.shape[0], recipe.program.dtype
    best: BestWeights | tuple[()] = ()
    if keeps_best:
        best = BestWeights(
            jnp.full((count,), -jnp.inf, jnp.float32),
            jnp.zeros((count,), jnp.int32),
            *jax.tree.map(jnp.copy, (members.params, members.layer_state)),
        )
    zeros = jnp.zeros((count,), dtype)
    return ManyState(
        members=members,
        loss=zeros,
        weight=jnp.copy(zeros),
        stopped=jnp.zeros((count,), bool),
        best=best,
    )


@partial(BoundedJit, static=2)
def orders(recipe: Recipe, n: int, seeds: Seeds, seed: Array, epoch: Any) -> Int[Array, "... S B"]:
    """Return the rows of an epoch's batches: (S, B) shared by all members, or (K, S, B)."""
    size, pool = recipe.program.batch_size, recipe.program.pool
    if recipe.shared_order:
        return epoch_order(seed, epoch, n, size, pool)
    return jax.vmap(lambda own: epoch_order(own, epoch, n, size, pool))(seeds)


@partial(BoundedJit, static=2, donate_argnums=(2,))
def run_members(
    recipe: Recipe,
    length: int,
    state: ManyState,
    data: DeviceData,
    order: Int[Array, "... S B"],
    seeds: Seeds,
    own: MemberNumbers,
    first: Any,
) -> ManyState:
    """Run `length` steps of an epoch for every member, from batch `first` on."""
    weighted = data.weights is not None and data.weights.ndim == 2
    axes = (
        0,
        DeviceData(x=None, y=None, weights=0 if weighted else None, scale=None, offset=None),  # type: ignore[arg-type]
        None if recipe.shared_order else 0,
        0,
        0,
    )

    def body(members: TrainState, index: Array) -> tuple[TrainState, Any]:
        def one(
            member: TrainState, data: DeviceData, order: Array, seed: Array, own: MemberNumbers
        ) -> Any:
            rows = jax.lax.dynamic_index_in_dim(order, index, keepdims=False)
            return step(bind(recipe, own), member, data, rows, index, Keys.of(seed))

        return jax.vmap(one, in_axes=axes)(members, data, order, seeds, own)

    indices = first + jnp.arange(length, dtype=jnp.int32)
    members, totals = jax.lax.scan(body, state.members, indices)
    loss, weight = (jnp.sum(total, axis=0) for total in totals)
    # The last step has no successor that would detect overflowed weights.
    finite = jax.vmap(_finite)(loss, members.params)
    members = members._replace(alive=members.alive & finite)
    return state._replace(members=members, loss=state.loss + loss, weight=state.weight + weight)


def _finite(loss: Array, params: Params) -> Array:
    sums = [jnp.sum(leaf, dtype=leaf.dtype) for leaf in jax.tree.leaves(params)]
    return jnp.isfinite(loss) & jnp.all(jnp.isfinite(jnp.stack(sums)))


@partial(BoundedJit, static=2)
def judge_members(
    recipe: Recipe,
    multilabel: bool,
    params: Params,
    layer_state: State,
    data: DeviceData,
    own: MemberNumbers,
) -> tuple[Float[Array, "K N C"], Float[Array, "K N"]]:
    """Return the predictions of every member for every row, in inference, and their losses."""

    def one(params: Params, layer_state: State, own: MemberNumbers) -> tuple[Array, Array]:
        return predict_rows(bind(recipe, own), multilabel, params, layer_state, data)

    return jax.vmap(one)(params, layer_state, own)


@partial(BoundedJit, static=1, donate_argnums=(1,))
def end_epoch(
    recipe: Recipe, state: ManyState, score: Array, better: Array, stop: Array, epoch: Any
) -> ManyState:
    """Return the state after an epoch: best weights updated, stopped members masked, sums reset."""
    members, best = state.members, state.best
    if isinstance(best, BestWeights):
        params, layer_state = weights_of(members)

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        best = BestWeights(
            jnp.where(better, score, best.score),
            jnp.where(better, epoch, best.epoch),
            jax.tree.map(choose, params, best.params),
            jax.tree.map(choose, layer_state, best.layer_state),
        )
    members = members._replace(alive=members.alive & ~stop)
    return ManyState(
        members=members,
        loss=jnp.zeros_like(state.loss),
        weight=jnp.zeros_like(state.weight),
        stopped=state.stopped | stop,
        best=best,
    )


def member_of(tree: PyTree, k: int) -> Any:
    """Return member k of a tree whose leaves have K as first axis, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[k]), tree)
