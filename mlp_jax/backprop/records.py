r"""The tape: records of the backward pass for every parameter, before the examples are summed.

A record represents one example's gradient without forming it. The tree of records has the shape of
the parameter tree. The gradient is one contraction of it; the others, for one parameter with N
examples' gradients gₙ (`statistics.py` combines the parameters):

    ============== ===================== ============ ========================
    \              OuterProduct          PerExample   LookUp
    ============== ===================== ============ ========================
    gₙ             aₙ ⊗ δₙ               gₙ           1ₖ ⊗ δₙ, k = indexₙ
    Σ cₙgₙ         Aᵀ(c ⊙ Δ)             Gᵀc          rows of c ⊙ Δ summed
    ‖gₙ‖²          ‖aₙ‖²‖δₙ‖²            ‖gₙ‖²        ‖δₙ‖² where a row is taken
    Σ cₙgₙ²        (A∘A)ᵀ(c ⊙ Δ∘Δ)       (G∘G)ᵀc      rows of c ⊙ Δ∘Δ summed
    ⟨gₙ, gₘ⟩       AAᵀ ∘ ΔΔᵀ             GGᵀ          [kₙ = kₘ] ∘ ΔΔᵀ
    ⟨gₙ, v⟩        rows of AV ∘ Δ summed Gv           ⟨vₖ, δₙ⟩, vₖ row k of V
    ============== ===================== ============ ========================

`block_records.py` has two more, for weights that an example uses several times, or in blocks.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from mlp_jax.backprop.block_records import BlockProduct, SharedProduct
from mlp_jax.backprop.layer import accumulator, grad_bias, grad_weight, grad_weight_transposed
from mlp_jax.backprop.row_products import products, row_sums, squared_lengths, wide
from mlp_jax.backprop.specification import Params, Records


class OuterProduct(NamedTuple):
    """Record of a weight matrix: one example's gradient is aₙ ⊗ δₙ.

    Attributes:
        a: inputs (N, I).
        delta: gradients of the pre-activations (N, J).
    """

    a: Float[Array, "N I"]
    delta: Float[Array, "N J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "I J"]:
        """Σₙ cₙ aₙ ⊗ δₙ = Aᵀ(c ⊙ Δ), equation 3."""
        return grad_weight(self.a, self.delta, c)

    def gradients(self) -> Float[Array, "N I J"]:
        """aₙ ⊗ δₙ, formed."""
        return wide(self.a)[:, :, None] * wide(self.delta)[:, None, :]

    def squared_norms(self) -> Float[Array, " N"]:
        """‖aₙ ⊗ δₙ‖² = ‖aₙ‖²‖δₙ‖² (Goodfellow 2015)."""
        return squared_lengths(self.a) * squared_lengths(self.delta)

    def second_moment(self, c: Float[Array, " N"] | None) -> Float[Array, "I J"]:
        """Σₙ cₙ (aₙ ⊗ δₙ)² = (A∘A)ᵀ(c ⊙ Δ∘Δ) (Dangel 2020)."""
        return grad_weight(wide(self.a) ** 2, wide(self.delta) ** 2, c)

    def gram(self, other: "OuterProduct") -> Float[Array, "N M"]:
        """⟨aₙ ⊗ δₙ, aₘ ⊗ δₘ⟩ = ⟨aₙ, aₘ⟩⟨δₙ, δₘ⟩: AAᵀ ∘ ΔΔᵀ."""
        return products(self.a, other.a) * products(self.delta, other.delta)

    def along(self, direction: Float[Array, "I J"]) -> Float[Array, " N"]:
        """⟨aₙ ⊗ δₙ, V⟩ = aₙᵀ V δₙ: one product as large as the forward pass."""
        wanted = jnp.matmul(wide(self.a), direction.astype(accumulator(self.a)))
        return row_sums(wanted * wide(self.delta))


class PerExample(NamedTuple):
    """Record of a bias, scale or shift: one example's gradient is gₙ.

    Attributes:
        g: gradients (N, J).
    """

    g: Float[Array, "N J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, " J"]:
        """Σₙ cₙ gₙ = Gᵀc."""
        return grad_bias(self.g, c)

    def gradients(self) -> Float[Array, "N J"]:
        """gₙ."""
        return wide(self.g)

    def squared_norms(self) -> Float[Array, " N"]:
        """‖gₙ‖²."""
        return squared_lengths(self.g)

    def second_moment(self, c: Float[Array, " N"] | None) -> Float[Array, " J"]:
        """Σₙ cₙ gₙ² = (G∘G)ᵀc."""
        return grad_bias(wide(self.g) ** 2, c)

    def gram(self, other: "PerExample") -> Float[Array, "N M"]:
        """⟨gₙ, gₘ⟩: GGᵀ."""
        return products(self.g, other.g)

    def along(self, direction: Float[Array, " J"]) -> Float[Array, " N"]:
        """⟨gₙ, v⟩: Gv."""
        return jnp.matmul(wide(self.g), direction.astype(accumulator(self.g)))


@partial(jax.tree_util.register_dataclass, data_fields=["index", "delta"], meta_fields=["n_rows"])
@dataclass(frozen=True)
class LookUp:
    """Record of a table of rows, one per example: its gradient is 1ₖ ⊗ δₙ, k = indexₙ.

    The one-hot vector 1ₖ (n_rows,) is never formed.

    Attributes:
        index: rows (N,) counted from 1; 0 and other invalid indices took none.
        delta: gradients of the rows (N, D).
        n_rows: K.
    """

    index: Any
    delta: Any
    n_rows: int

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "K D"]:
        """Σₙ cₙ 1ₖ ⊗ δₙ: row k is the sum of cₙ δₙ over the examples that took it, equation 3."""
        return self._gathered(wide(self.delta), c)

    def gradients(self) -> Float[Array, "N K D"]:
        """1ₖ ⊗ δₙ, formed."""
        rows = jnp.arange(1, self.n_rows + 1, dtype=self.index.dtype)
        hot = (self.index[:, None] == rows[None, :]).astype(accumulator(self.delta))
        return hot[:, :, None] * wide(self.delta)[:, None, :]

    def squared_norms(self) -> Float[Array, " N"]:
        """‖1ₖ ⊗ δₙ‖² = ‖δₙ‖², and 0 for an example that took no row."""
        lengths = squared_lengths(self.delta)
        return jnp.where(self._took(), lengths, jnp.zeros_like(lengths))

    def second_moment(self, c: Float[Array, " N"] | None) -> Float[Array, "K D"]:
        """Σₙ cₙ (1ₖ ⊗ δₙ)²: row k is the sum of cₙ δₙ² over the examples that took it."""
        return self._gathered(wide(self.delta) ** 2, c)

    def gram(self, other: "LookUp") -> Float[Array, "N M"]:
        """⟨1ₖ ⊗ δₙ, 1ₗ ⊗ δₘ⟩ = [k = l]⟨δₙ, δₘ⟩: examples that took different rows share nothing."""
        same = (self.index[:, None] == other.index[None, :]) & self._took()[:, None]
        inner = products(self.delta, other.delta)
        return jnp.where(same, inner, jnp.zeros_like(inner))

    def along(self, direction: Float[Array, "K D"]) -> Float[Array, " N"]:
        """⟨1ₖ ⊗ δₙ, V⟩ = ⟨vₖ, δₙ⟩, and 0 for an example that took no row."""
        rows = direction.astype(accumulator(self.delta)).at[self.index - 1].get(mode="clip")
        found = row_sums(rows * wide(self.delta))
        return jnp.where(self._took(), found, jnp.zeros_like(found))

    def _took(self) -> Bool[Array, " N"]:
        """Mask of the examples that took a row."""
        return (self.index >= 1) & (self.index <= self.n_rows)

    def _gathered(
        self, values: Float[Array, "N D"], c: Float[Array, " N"] | None
    ) -> Float[Array, "K D"]:
        """Row k: the sum of cₙ valuesₙ over the examples that took it."""
        if c is not None:
            values = c[:, None].astype(values.dtype) * values
        return jax.ops.segment_sum(values, self.index, self.n_rows + 1)[1:]


class Summed(NamedTuple):
    """Gradient of a parameter whose examples are summed already, in a pass with c first."""

    gradient: Array

    def contract(self, c: Float[Array, " N"] | None) -> Array:
        """The gradient, for c = None: other weights can no longer be applied."""
        return self.gradient


Record = OuterProduct | PerExample | LookUp | SharedProduct | BlockProduct


def is_record(node: Any) -> bool:
    """Test whether a node of the tape is a record: the leaf test of every walk over a tape."""
    return isinstance(node, Record | Summed)


@partial(jax.tree_util.register_dataclass, data_fields=["records"], meta_fields=["weighted"])
@dataclass(frozen=True)
class Tape:
    """Records of one backward pass, in the shape of the parameter tree.

    Args:
        records: the tree.
        weighted: the records include the weights c and hold no per-example gradients, either
            because batch norm in training mode couples the examples or because they were not
            requested.
    """

    records: Records
    weighted: bool = False


def contract(records: Records, c: Float[Array, " N"] | None) -> Params:
    """Return the gradient Σₙ cₙ ∇Eₙ.

    Args:
        records: a tree of records.
        c: weights of the examples (N,); None: ones.

    Returns:
        The gradient, in the shape of the parameter tree.
    """
    return jax.tree.map(lambda record: record.contract(c), records, is_leaf=is_record)


def contract_transposed(records: Records, c: Float[Array, " N"] | None) -> Params:
    """Return the gradient like `contract`, with every matrix transposed, (J, I)."""

    def one(record: Record | Summed) -> Array:
        if isinstance(record, OuterProduct):
            return grad_weight_transposed(record.a, record.delta, c)
        return transposed(record.contract(c))

    return jax.tree.map(one, records, is_leaf=is_record)


def transposed(tree: PyTree) -> Any:
    """Transpose every matrix of a tree, and leave the other arrays."""
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, tree)
