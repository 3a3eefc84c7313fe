"""Ensemble of networks whose predictions are averaged, as one layer.

K members, N examples, C outputs. The ensemble predicts p̄ = (1/K) Σₖ pₖ, where pₖ = link(sₖ) is the
prediction of member k. Its output is the s with link(s) = p̄, so that a network can be replaced by
an ensemble everywhere: in the loss, the export, the metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.network import child_key
from mlp_jax.backprop.specification import Layer, Params, Records, Saved, State
from mlp_jax.errors import InputError, UnknownNameError

LINKS = ("identity", "exp", "softmax", "sigmoid")


def _log_mean_exp(values: Float[Array, "K N C"]) -> Float[Array, "N C"]:
    return jax.nn.logsumexp(values, axis=0) - jnp.log(jnp.asarray(len(values), values.dtype))


def _shares(values: Float[Array, "K N C"]) -> Float[Array, "K N C"]:
    """Softmax over the members; equal shares if every member has −∞."""
    none = jnp.all(values == -jnp.inf, axis=0, keepdims=True)
    return jax.nn.softmax(jnp.where(none, jnp.zeros_like(values), values), axis=0)


def mean_output(link: str, s: Float[Array, "K N C"]) -> Float[Array, "N C"]:
    """The s̄ with link(s̄) = (1/K) Σₖ link(sₖ), by logarithms, finite at any logit."""
    if link == "identity":
        return jnp.mean(s, axis=0)
    if link == "exp":
        return _log_mean_exp(s)
    if link == "softmax":
        return _log_mean_exp(jax.nn.log_softmax(s, axis=2))
    return _log_mean_exp(jax.nn.log_sigmoid(s)) - _log_mean_exp(jax.nn.log_sigmoid(-s))


def mean_output_gradient(
    link: str, s: Float[Array, "K N C"], grad: Float[Array, "N C"]
) -> Float[Array, "K N C"]:
    """∇sₖ from ∇s̄. A log-mean-exp gives each member its share r = softmax over the members.

    softmax: d log pₖ = dsₖ − Σ pₖ dsₖ, so ∇sₖ = rₖ ⊙ ∇s̄ − pₖ Σ_c (rₖ ⊙ ∇s̄)_c. sigmoid:
    d log σ(s) = (1 − σ) ds and d log σ(−s) = −σ ds, so ∇sₖ = ∇s̄ ⊙ (r⁺ₖ(1 − σₖ) + r⁻ₖ σₖ).
    """
    if link == "identity":
        return jnp.broadcast_to(grad[None] / s.shape[0], s.shape)
    if link == "exp":
        return _shares(s) * grad[None]
    if link == "softmax":
        log_p = jax.nn.log_softmax(s, axis=2)
        share = _shares(log_p) * grad[None]
        return share - jnp.exp(log_p) * jnp.sum(share, axis=2, keepdims=True)
    on, off = (_shares(jax.nn.log_sigmoid(t)) for t in (s, -s))
    p = jax.nn.sigmoid(s)
    return grad[None] * (on * (1 - p) + off * p)


@dataclass(frozen=True)
class Ensemble(Layer):
    """Networks of equal input and output width that predict the mean of their predictions.

    Args:
        members: the networks.
        link: from a member's output to its prediction: "softmax", "sigmoid", "exp" or "identity".
    """

    members: tuple[Layer, ...]
    link: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if self.link not in LINKS:
            raise UnknownNameError("link", self.link, LINKS)
        if not self.members:
            raise InputError("An ensemble needs at least 1 member.")

    def __str__(self) -> str:
        return f"Ensemble({len(self.members)} × {self.members[0]}, {self.link})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The members."""
        return self.members

    def with_children(self, children: tuple[Layer, ...]) -> "Ensemble":
        """Return an ensemble of other members."""
        return replace(self, members=children)

    def width_out(self, n_in: int) -> int:
        """Width of the members; InputError if they differ."""
        widths = {member.width_out(n_in) for member in self.members}
        if len(widths) > 1:
            raise InputError(f"Members of an ensemble have one width, not {sorted(widths)}.")
        return widths.pop()

    def init(self, key: Array, n_in: int) -> tuple[tuple[Params, ...], tuple[State, ...]]:
        """Parameters and state of each member, as tuples."""
        pairs = [
            member.init(jax.random.fold_in(key, index), n_in)
            for index, member in enumerate(self.members)
        ]
        return tuple(p for p, _ in pairs), tuple(s for _, s in pairs)

    def outputs(
        self, params: Sequence[Params], state: Sequence[State], a: Float[Array, "N I"]
    ) -> Float[Array, "K N C"]:
        """Return the output of every member in inference."""
        found = [
            member.forward(own, kept, a, train=False, key=None, mask=None)[0]
            for member, own, kept in zip(self.members, params, state, strict=True)
        ]
        return jnp.stack(found)

    def forward(
        self,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, tuple[State, ...], tuple[Saved, ...]]:
        """Output whose prediction is the mean of the members' predictions."""
        outputs, states, residuals = [], [], []
        for index, member in enumerate(self.members):
            output, new_state, residual = member.forward(
                params[index],
                state[index],
                a,
                train=train,
                key=child_key(key, index),
                mask=mask,
            )
            outputs.append(output)
            states.append(new_state)
            residuals.append(residual)
        stacked = jnp.stack(outputs)
        return mean_output(self.link, stacked), tuple(states), (stacked, tuple(residuals))

    def backward(
        self,
        params: tuple[Params, ...],
        residual: tuple[Saved, ...],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, tuple[Records, ...]]:
        """Each member's share of ∇s̄, then its own backward pass; the ∇a are summed."""
        stacked, residuals = residual
        each = mean_output_gradient(self.link, stacked.astype(grad_a_next.dtype), grad_a_next)
        grads: list[Any] = []
        records = []
        for index, member in enumerate(self.members):
            grad_a, member_records = member.backward(
                params[index], residuals[index], each[index], need_grad_a=need_grad_a
            )
            grads.append(grad_a)
            records.append(member_records)
        if not need_grad_a:
            return None, tuple(records)
        return jnp.sum(jnp.stack(grads), axis=0), tuple(records)
