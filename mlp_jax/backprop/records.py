"""The tape: what the backward pass leaves behind for every parameter, before it is summed.

A record says what one example's gradient is without forming it. The tree of records has the shape
of the parameter tree, and the gradient is one of the things that it gives.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from mlp_jax.backprop.layer import accumulator, grad_bias, grad_weight, grad_weight_transposed


class OuterProduct(NamedTuple):
    """A weight matrix: one example's gradient is aₙ ⊗ δₙ. a (N, I), delta (N, J)."""

    a: Float[Array, "N I"]
    delta: Float[Array, "N J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "I J"]:
        """Σₙ cₙ aₙ ⊗ δₙ = Aᵀ(c ⊙ Δ), equation 3."""
        return grad_weight(self.a, self.delta, c)


class PerExample(NamedTuple):
    """A small parameter, bias, scale or shift: one example's gradient is gₙ. g (N, J)."""

    g: Float[Array, "N J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, " J"]:
        """Σₙ cₙ gₙ = Gᵀc."""
        return grad_bias(self.g, c)


@partial(jax.tree_util.register_dataclass, data_fields=["index", "delta"], meta_fields=["n_rows"])
@dataclass(frozen=True)
class LookUp:
    """A table of rows, of which each example took one: its gradient is 1ₖ ⊗ δₙ with k = indexₙ.

    index (N,) counts rows from 1; 0, and whatever is no row, took none. delta (N, D). The one-hot
    vector 1ₖ (n_rows,) is never formed.
    """

    index: Any
    delta: Any
    n_rows: int

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "K D"]:
        """Σₙ cₙ 1ₖ ⊗ δₙ: row k is the sum of cₙ δₙ over the examples that took it, equation 3."""
        total = accumulator(self.delta)
        weighted = self.delta.astype(total)
        if c is not None:
            weighted = c[:, None].astype(total) * weighted
        return jax.ops.segment_sum(weighted, self.index, self.n_rows + 1)[1:]


Record = OuterProduct | PerExample | LookUp


def is_record(node: Any) -> bool:
    """Whether a node of the tape is a record: the leaf test of every walk over a tape."""
    return isinstance(node, (OuterProduct, PerExample, LookUp))


@partial(jax.tree_util.register_dataclass, data_fields=["records"], meta_fields=["weighted"])
@dataclass(frozen=True)
class Tape:
    """The records of one backward pass, in the shape of the parameter tree.

    weighted: the records carry the weights c already and hold no example's own gradient, be it
    that batch norm in training mode mixed the examples or that nobody asked for it.
    """

    records: Any
    weighted: bool = False


def contract(records: Any, c: Float[Array, " N"] | None) -> Any:
    """The gradient Σₙ cₙ ∇Eₙ, in the shape of the parameter tree (c=None: all ones)."""
    return jax.tree.map(lambda record: record.contract(c), records, is_leaf=is_record)


def contract_transposed(records: Any, c: Float[Array, " N"] | None) -> Any:
    """The gradient as `contract` gives it, with every matrix transposed, (J, I)."""

    def one(record: Record) -> Array:
        if isinstance(record, OuterProduct):
            return grad_weight_transposed(record.a, record.delta, c)
        return transposed(record.contract(c))

    return jax.tree.map(one, records, is_leaf=is_record)


def transposed(tree: Any) -> Any:
    """Every matrix of a tree transposed, whatever else it holds as it is."""
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, tree)
