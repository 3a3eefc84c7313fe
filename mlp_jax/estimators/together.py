"""Many fits by scikit-learn's rules in one compiled program: a whole training is one call.

K members differ only in numbers (rate, penalty, …) and see the same batches, so the first layer of
all of them is one product with the batch. scikit-learn's stopping rule, a loss that has not fallen
by `tol` for `n_iter_no_change` epochs, is applied to each member on the device.

N rows, S batches an epoch, B rows a batch, T epochs at most, P parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from mlp_jax.backprop import Layer
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.backprop.records import contract_transposed, transposed
from mlp_jax.backprop.specification import Params
from mlp_jax.estimators.epoch import with_penalty
from mlp_jax.estimators.losses import ScikitLoss
from mlp_jax.estimators.progress import SMALLEST_RATE


@dataclass(frozen=True)
class MemberSpec:
    """Static part that the members share; equal ones compile once.

    optimizer: of `solvers`, its numbers in its state.  schedule: of the rate, by scikit-learn's
    name.  max_iter: T.
    """

    network: Layer
    loss: ScikitLoss
    optimizer: optax.GradientTransformationExtraArgs
    schedule: str
    max_iter: int


class FitNumbers(NamedTuple):
    """Numbers of a member beside the optimizer's state, by scikit-learn's names."""

    learning_rate_init: Any
    alpha: Any
    power_t: Any
    tol: Any
    n_iter_no_change: Any


class Member(NamedTuple):
    """State of a member's training.

    curve (T,): losses of the epochs so far.  best: the lowest of them.  stale: epochs without an
    improvement by `tol`.  done: training has ended.
    """

    params: Params
    opt_state: Any
    epochs: Int[Array, ""]
    curve: Float[Array, " T"]
    best: Float[Array, ""]
    stale: Int[Array, ""]
    done: Bool[Array, ""]


class OrderedRows(NamedTuple):
    """Rows, and their order in every epoch.

    places (T, S, B): the rows of each batch.  weights (S, B): 1, and 0 for padding.  row_weights
    (N,): of the rows, or None.
    """

    x: Float[Array, "N I"]
    y: Array
    places: Int[Array, "T S B"]
    weights: Float[Array, "S B"]
    row_weights: Float[Array, " N"] | None


def first_member(spec: MemberSpec, params: Params, opt_state: Any, own: FitNumbers) -> Member:
    """Return a member before its first step."""
    dtype = own.alpha.dtype
    none = jnp.zeros((), jnp.int32)
    curve, best = jnp.full((spec.max_iter,), jnp.nan, dtype), jnp.full((), jnp.inf, dtype)
    return _turned(
        Member(
            params=params,
            opt_state=opt_state,
            epochs=none,
            curve=curve,
            best=best,
            stale=none,
            done=jnp.zeros((), bool),
        )
    )


def _turned(member: Member) -> Member:
    """Transpose the member's matrices to (J, I), as the steps carry them, or back to (I, J).

    The first product of all members is then one with their matrices one below the other, without a
    copy.
    """
    params, opt_state = transposed((member.params, member.opt_state))
    return member._replace(params=params, opt_state=opt_state)


def gradient(
    spec: MemberSpec, params: Params, alpha: Array, x: Array, y: Array, weights: Float[Array, " B"]
) -> tuple[Array, Any]:
    """(loss, gradient) of a batch, with scikit-learn's penalty; their matrices are (J, I)."""
    total = jnp.sum(weights)
    state = tuple(() for _ in spec.network.children)
    value, _, _, tape = forward_backward(
        spec.network, spec.loss, True, transposed(params), state, x, y, weights / total, None, None,
        per_example=False,
    )  # fmt: skip
    return with_penalty(value, contract_transposed(tape.records, None), params, alpha / total)


def end_epoch(spec: MemberSpec, member: Member, own: FitNumbers, loss: Array, n: Array) -> Member:
    """Update the member's curve, rate and stopping state after an epoch with this mean loss."""
    stale = jnp.where(loss > member.best - own.tol, member.stale + 1, 0)
    epochs, rate = member.epochs + 1, member.opt_state.rate
    if spec.schedule == "invscaling":
        seen = (epochs * n + 1).astype(rate.dtype)
        rate = own.learning_rate_init / seen**own.power_t
    done = waited = stale > own.n_iter_no_change
    if spec.schedule == "adaptive":
        done = waited & (rate <= SMALLEST_RATE)
        rate = jnp.where(waited & ~done, rate / 5, rate)
        stale = jnp.where(waited & ~done, 0, stale)
    return member._replace(
        opt_state=member.opt_state._replace(rate=rate),
        curve=member.curve.at[member.epochs].set(loss),
        epochs=epochs,
        best=jnp.minimum(loss, member.best),
        stale=stale,
        done=done | ~jnp.isfinite(loss),
    )


@partial(jax.jit, static_argnums=0)
def train(
    spec: MemberSpec, params: Params, opt_states: Any, own: FitNumbers, rows: OrderedRows
) -> Member:
    """Train K members, whose arguments (except the rows) have a leading axis K, to the end."""
    counts = jnp.sum(rows.weights, axis=1)
    n = jnp.sum(counts).astype(jnp.int32)
    members = jax.vmap(partial(first_member, spec))(params, opt_states, own)

    def batch(members: Member, at: tuple[Array, Array, Array]) -> tuple[Member, Array]:
        places, weights, count = at
        x, y = rows.x.at[places].get(mode="clip"), rows.y.at[places].get(mode="clip")
        if rows.row_weights is not None:
            weights = weights * rows.row_weights.at[places].get(mode="clip")

        def one(member: Member, own: FitNumbers) -> tuple[Member, Array]:
            loss, grads = gradient(spec, member.params, own.alpha, x, y, weights)
            updates, opt_state = spec.optimizer.update(grads, member.opt_state, member.params)
            params = optax.apply_updates(member.params, updates)
            return member._replace(params=params, opt_state=opt_state), loss * count

        return jax.vmap(one)(members, own)

    def epoch(carry: tuple[Array, Member]) -> tuple[Array, Member]:
        t, members = carry
        places = jax.lax.dynamic_index_in_dim(rows.places, t, keepdims=False)
        new, losses = jax.lax.scan(batch, members, (places, rows.weights, counts))
        mean = jnp.sum(losses, axis=0) / n.astype(losses.dtype)
        new = jax.vmap(lambda member, own, loss: end_epoch(spec, member, own, loss, n))(
            new, own, mean
        )

        def kept(old: Array, new: Array) -> Array:
            return jnp.where(members.done.reshape(-1, *[1] * (new.ndim - 1)), old, new)

        return t + 1, jax.tree.map(kept, members, new)

    def goes_on(carry: tuple[Array, Member]) -> Array:
        t, members = carry
        return (t < spec.max_iter) & ~jnp.all(members.done)

    _, members = jax.lax.while_loop(goes_on, epoch, (jnp.zeros((), jnp.int32), members))
    return jax.vmap(_turned)(members)
