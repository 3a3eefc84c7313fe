"""Gradient checkpointing: store few inputs in the forward pass, recompute the rest going back.

Chen 2016, "Training Deep Nets with Sublinear Memory Cost": of L layers only the inputs of about √L
segments are stored; the backward pass runs each segment forward once more before it walks it back.
This costs one more forward pass for √L times less memory. If the pass stores no per-example
gradients, a segment's gradients are summed before the next segment, which frees its a and ∇z too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.network import Sequential, child_key
from mlp_jax.backprop.records import Summed, is_record
from mlp_jax.backprop.specification import Layer, Params, Records, Saved, State


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Mode:
    """Training or inference, known while tracing and no array."""

    train: bool


class Kept(NamedTuple):
    """Residual of the sequence: the input of each segment, and the arguments of forward.

    states: of each layer before the pass.
    """

    inputs: tuple[Array, ...]
    states: tuple[State, ...]
    key: Array | None
    mask: Bool[Array, " N"] | None
    mode: _Mode


@dataclass(frozen=True)
class Recomputing(Sequential):
    """`Sequential` with the same parameters, function and gradient, and less memory.

    sums: the records are contracted immediately, because c is included in them.
    """

    sums: bool = False

    def contracting(self) -> "Recomputing":
        """Return the layer that sums its records."""
        return replace(self, sums=True)

    def segments(self) -> tuple[range, ...]:
        """Indices of the layers, in about √L pieces of equal length."""
        count = len(self.layers)
        length = max(math.isqrt(count), 1)
        return tuple(range(first, min(first + length, count)) for first in range(0, count, length))

    def forward(
        self,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, tuple[State, ...], Saved]:
        """As `Sequential`, with the input of each segment as the only residual."""
        inputs, states = [], []
        for segment in self.segments():
            inputs.append(a)
            a, new, _ = self._through(segment, params, state, a, train=train, key=key, mask=mask)
            states.extend(new)
        return (
            a,
            tuple(states),
            Kept(inputs=tuple(inputs), states=state, key=key, mask=mask, mode=_Mode(train)),
        )

    def backward(
        self,
        params: tuple[Params, ...],
        residual: Saved,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, tuple[Records, ...]]:
        """The chain rule, each segment run forward again before it is walked back.

        The barrier keeps a segment from being computed before its ∇a' and the gradients after it
        exist: without it the compiler reuses, and therefore stores, the first computation.
        """
        records: list[Records] = []
        grad_a: Array | None = grad_a_next
        for segment, a in zip(reversed(self.segments()), reversed(residual.inputs), strict=True):
            a, grad_a, records = jax.lax.optimization_barrier((a, grad_a, records))
            walk = partial(self._walk_back, segment, residual, need_grad_a)
            if self.sums:
                walk = partial(jax.lax.platform_dependent, cpu=_apart(walk), default=walk)
            grad_a, own = walk(params, a, grad_a)
            records.extend(own)
        return grad_a, tuple(reversed(records))

    def _walk_back(
        self, segment: range, kept: Kept, need_grad_a: bool, params: Params, a: Array, grad_a: Array
    ) -> tuple[Array | None, list[Records]]:
        """(∇a, records from right to left) of the layers of a segment, forward and back."""
        train, key, mask = kept.mode.train, kept.key, kept.mask
        _, _, residuals = self._through(
            segment, params, kept.states, a, train=train, key=key, mask=mask
        )
        records = []
        back: Array | None = grad_a
        for index in reversed(segment):
            assert back is not None
            back, own = self.layers[index].backward(
                params[index],
                residuals[index - segment.start],
                back,
                need_grad_a=need_grad_a or index > 0,
            )
            records.append(jax.tree.map(_summed, own, is_leaf=is_record) if self.sums else own)
        return back, records

    def _through(
        self,
        segment: range,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Array,
        *,
        train: bool,
        key: Array | None,
        mask: Array | None,
    ) -> tuple[Array, list[State], list[Saved]]:
        """(output, new states, residuals) of the layers of a segment."""
        states, residuals = [], []
        for index in segment:
            a, new, residual = self.layers[index].forward(
                params[index],
                state[index],
                a,
                train=train,
                key=child_key(key, index),
                mask=mask,
            )
            states.append(new)
            residuals.append(residual)
        return a, states, residuals


def _summed(record: Any) -> Summed:
    return Summed(record.contract(None))


def _apart(walk: Callable[..., Any]) -> Callable[..., Any]:
    """`walk` as the branch of a condition that always holds, which the compiler cannot see.

    XLA drops the barriers on a CPU, and would merge the second forward pass with the first; it does
    not look into branches.
    """

    def guarded(params: Params, a: Array, grad_a: Array) -> Any:
        entry = grad_a[0, 0]
        holds = (entry < 0) | (entry >= 0) | jnp.isnan(entry)
        shapes = jax.eval_shape(walk, params, a, grad_a)

        def never(params: Params, a: Array, grad_a: Array) -> Any:
            return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        return jax.lax.cond(holds, walk, never, params, a, grad_a)

    return guarded


def recomputing(network: Layer) -> Layer:
    """Return the network with its outermost sequence of layers as a `Recomputing` one."""
    return Recomputing(network.layers) if isinstance(network, Sequential) else network
