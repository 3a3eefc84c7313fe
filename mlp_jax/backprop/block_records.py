"""Records of weights that an example uses more than once, or in blocks.

A dense layer's record is one outer product per example. If R rows of an example go through the
same weight (the members of a BatchEnsemble), its gradient is a sum over them; if each of G
groups of features has its own weight, it is G outer products side by side:

    ============== =================================== ==============================
    \\              SharedProduct                       BlockProduct
    ============== =================================== ==============================
    gₙ             Σᵣ aₙᵣ ⊗ δₙᵣ                         aₙg ⊗ δₙg, one a block g
    Σ cₙgₙ         AᵀΔ over all N·R rows, c repeated   Agᵀ(c ⊙ Δg)
    ‖gₙ‖²          Σᵣₛ ⟨aₙᵣ, aₙₛ⟩⟨δₙᵣ, δₙₛ⟩             Σg ‖aₙg‖²‖δₙg‖²
    Σ cₙgₙ²        one gₙ after the other               (Ag∘Ag)ᵀ(c ⊙ Δg∘Δg)
    ⟨gₙ, gₘ⟩       Σᵣₛ ⟨aₙᵣ, aₘₛ⟩⟨δₙᵣ, δₘₛ⟩             Σg AgAgᵀ ∘ ΔgΔgᵀ
    ⟨gₙ, v⟩        Σᵣ aₙᵣᵀ V δₙᵣ                        Σg aₙgᵀ Vg δₙg
    ============== =================================== ==============================

The rows of one example are summed in its gradient, so that its squared norm is their Gram form and
not the product of two norms. The square of a sum does not factorize either: the second moment of a
shared weight forms the gradients, one at a time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop.layer import accumulator, grad_weight
from mlp_jax.backprop.row_products import products, row_sums, wide


def _flat(rows: Float[Array, "N R J"]) -> Float[Array, "NR J"]:
    """All rows of all examples, one below the other."""
    return rows.reshape(-1, rows.shape[2])


class SharedProduct(NamedTuple):
    """Record of a weight that R rows of an example use: its gradient is Σᵣ aₙᵣ ⊗ δₙᵣ.

    Attributes:
        a: inputs (N, R, I).
        delta: gradients of the pre-activations (N, R, J).
    """

    a: Float[Array, "N R I"]
    delta: Float[Array, "N R J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "I J"]:
        """Σₙ cₙ Σᵣ aₙᵣ ⊗ δₙᵣ: equation 3 over N·R rows, each with its example's weight."""
        each = None if c is None else jnp.repeat(c, self.a.shape[1])
        return grad_weight(_flat(self.a), _flat(self.delta), each)

    def gradients(self) -> Float[Array, "N I J"]:
        """Σᵣ aₙᵣ ⊗ δₙᵣ, formed."""
        return jnp.einsum("nri,nrj->nij", wide(self.a), wide(self.delta))

    def squared_norms(self) -> Float[Array, " N"]:
        """‖Σᵣ aₙᵣ ⊗ δₙᵣ‖² = Σᵣₛ ⟨aₙᵣ, aₙₛ⟩⟨δₙᵣ, δₙₛ⟩."""
        a, delta = wide(self.a), wide(self.delta)
        inner = jnp.einsum("nri,nsi->nrs", a, a) * jnp.einsum("nrj,nsj->nrs", delta, delta)
        return row_sums(inner.reshape(inner.shape[0], -1))

    def second_moment(self, c: Float[Array, " N"] | None) -> Float[Array, "I J"]:
        """Σₙ cₙ gₙ², forming one gₙ at a time: as much work as equation 3."""
        a, delta = wide(self.a), wide(self.delta)
        weights = jnp.ones(a.shape[0], a.dtype) if c is None else c.astype(a.dtype)

        def add(total: Array, one: tuple[Array, Array, Array]) -> tuple[Array, None]:
            rows, deltas, weight = one
            return total + weight * grad_weight(rows, deltas) ** 2, None

        start = jnp.zeros((a.shape[2], delta.shape[2]), a.dtype)
        return jax.lax.scan(add, start, (a, delta, weights))[0]

    def gram(self, other: "SharedProduct") -> Float[Array, "N M"]:
        """Σᵣₛ ⟨aₙᵣ, aₘₛ⟩⟨δₙᵣ, δₘₛ⟩: the products of all N·R rows with all M·R, summed in blocks."""
        inner = products(_flat(self.a), _flat(other.a)) * products(
            _flat(self.delta), _flat(other.delta)
        )
        R = self.a.shape[1]
        return jnp.sum(inner.reshape(self.a.shape[0], R, other.a.shape[0], R), axis=(1, 3))

    def along(self, direction: Float[Array, "I J"]) -> Float[Array, " N"]:
        """⟨gₙ, V⟩ = Σᵣ aₙᵣᵀ V δₙᵣ: one product as large as the forward pass."""
        wanted = jnp.matmul(wide(self.a), direction.astype(accumulator(self.a)))
        met = wanted * wide(self.delta)
        return row_sums(met.reshape(met.shape[0], -1))


class BlockProduct(NamedTuple):
    """Record of a weight (G, I, J) with G blocks: the gradient of block g is aₙg ⊗ δₙg.

    Attributes:
        a: inputs (N, G, I).
        delta: gradients of the pre-activations (N, G, J).
    """

    a: Float[Array, "N G I"]
    delta: Float[Array, "N G J"]

    def contract(self, c: Float[Array, " N"] | None) -> Float[Array, "G I J"]:
        """Σₙ cₙ aₙg ⊗ δₙg = Agᵀ(c ⊙ Δg), equation 3 in each block."""
        return _by_block(self.a, self.delta, c)

    def gradients(self) -> Float[Array, "N G I J"]:
        """aₙg ⊗ δₙg, formed."""
        return wide(self.a)[:, :, :, None] * wide(self.delta)[:, :, None, :]

    def squared_norms(self) -> Float[Array, " N"]:
        """Σg ‖aₙg‖²‖δₙg‖²."""
        lengths = (jnp.sum(wide(v) ** 2, axis=2) for v in (self.a, self.delta))
        return row_sums(next(lengths) * next(lengths))

    def second_moment(self, c: Float[Array, " N"] | None) -> Float[Array, "G I J"]:
        """Σₙ cₙ (aₙg ⊗ δₙg)² = (Ag∘Ag)ᵀ(c ⊙ Δg∘Δg)."""
        return _by_block(wide(self.a) ** 2, wide(self.delta) ** 2, c)

    def gram(self, other: "BlockProduct") -> Float[Array, "N M"]:
        """Σg ⟨aₙg, aₘg⟩⟨δₙg, δₘg⟩."""
        inner = [
            jnp.einsum("ngi,mgi->gnm", wide(rows), wide(others))
            for rows, others in ((self.a, other.a), (self.delta, other.delta))
        ]
        return jnp.sum(inner[0] * inner[1], axis=0)

    def along(self, direction: Float[Array, "G I J"]) -> Float[Array, " N"]:
        """⟨gₙ, V⟩ = Σg aₙgᵀ Vg δₙg."""
        wanted = jnp.einsum("ngi,gij->ngj", wide(self.a), direction.astype(accumulator(self.a)))
        met = wanted * wide(self.delta)
        return row_sums(met.reshape(met.shape[0], -1))


def _by_block(
    a: Float[Array, "N G I"], delta: Float[Array, "N G J"], c: Float[Array, " N"] | None
) -> Float[Array, "G I J"]:
    """Agᵀ(c ⊙ Δg) of every block."""
    weighted = delta if c is None else c[:, None, None].astype(delta.dtype) * delta
    return jnp.einsum("ngi,ngj->gij", wide(a), wide(weighted))
