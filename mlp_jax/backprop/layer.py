"""The dense layer: its forward equations and its backward equations, one function each.

Letters: N examples in a batch, I inputs, J outputs of the layer; W[i, j] connects input i to
output j. One example is a column in the mathematics and a row in the arrays:

    ====== ========================= ========================== ================
    \\      one example, a column      a batch, one example a row  shape
    ====== ========================= ========================== ================
    z      z = Wᵀa + b                Z = A W + 1bᵀ               (N, J)
    a'     a' = f(z)                  A' = f(Z)                   (N, J)
    eq. 1  ∇z = ∇a' ⊙ f'(z)           the same                    (N, J)
    eq. 2  ∇a = W ∇z                  ∇A = ∇Z Wᵀ                  (N, I)
    eq. 3  ∇W = a ∇zᵀ                 ∇W = Aᵀ(c ⊙ ∇Z)             (I, J)
    bias   ∇b = ∇z                    ∇b = (c ⊙ ∇Z)ᵀ1             (J,)
    ====== ========================= ========================== ================

∇v is the gradient ∂E/∂v of the loss E, in the shape of v. All three equations are one rule: E
changes by dE = ⟨∇z, dz⟩ whatever made z change, and the *adjoint* of the linear map that carried
the change carries the gradient back. Which product stands in an equation is nothing but which
linear map it was:

* z ↦ a' acts on each element alone: its adjoint does too, hence ⊙;
* a ↦ Wᵀa is a matrix: its adjoint is the transposed matrix, hence W from the left;
* W ↦ Wᵀa takes a matrix to a vector: its adjoint takes a vector to a matrix, hence a ∇zᵀ.

`docs/derivation.md` goes through it slowly, with numbers.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_ROWS = ((0,), (0,))
_FEW_COLUMNS = 64


def accumulator(x: Array) -> jnp.dtype:
    """The type in which x is summed: float32, or its own where that is wider."""
    return jnp.dtype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def weighted_sum(c: Float[Array, " N"], values: Float[Array, " N *rest"]) -> Float[Array, " *rest"]:
    """Σₙ cₙ valuesₙ, at full precision whatever products run in (TF32 has 10 bits)."""
    return jnp.matmul(c, values, precision=lax.Precision.HIGHEST)


def pre_activation(
    W: Float[Array, "I J"], b: Float[Array, " J"] | None, a: Float[Array, "N I"]
) -> Float[Array, "N J"]:
    """Z = A W + 1bᵀ, the forward equation z = Wᵀa + b of every example at once."""
    z = jnp.matmul(a, W, preferred_element_type=accumulator(a))
    return z if b is None else z + b[None, :]


def grad_pre_activation(
    grad_a_next: Float[Array, "N J"], slope: Float[Array, "N J"]
) -> Float[Array, "N J"]:
    """Equation 1: ∇z = ∇a' ⊙ f'(z), where slope = f'(z).

    f acts on each element alone, so a change dz moves a' by da' = f'(z) ⊙ dz = diag(f'(z)) dz.
    Then dE = ⟨∇a', f'(z) ⊙ dz⟩ = ⟨∇a' ⊙ f'(z), dz⟩: a diagonal matrix is its own transpose, and
    a product with a diagonal matrix is ⊙ with its diagonal. That is why ⊙ stands here.
    """
    return grad_a_next * slope


def grad_input(W: Float[Array, "I J"], grad_z: Float[Array, "N J"]) -> Float[Array, "N I"]:
    """Equation 2: ∇A = ∇Z Wᵀ, which is ∇a = W ∇z for one example.

    A change da moves z by dz = Wᵀda. Then dE = ⟨∇z, Wᵀda⟩ = ⟨W ∇z, da⟩: the matrix that carried
    the change forward, transposed, carries the gradient back, (Wᵀ)ᵀ = W. It stands on the left of
    a column, so with examples as rows its transpose stands on the right: (W ∇z)ᵀ = ∇zᵀ Wᵀ.
    """
    return lax.dot_general(
        grad_z, W, (((1,), (1,)), ((), ())), preferred_element_type=accumulator(W)
    )


def grad_weight(
    a: Float[Array, "N I"], grad_z: Float[Array, "N J"], c: Float[Array, " N"] | None = None
) -> Float[Array, "I J"]:
    """Equation 3: ∇W = Aᵀ(c ⊙ ∇Z) = Σₙ cₙ aₙ ∇zₙᵀ, the outer product a ∇zᵀ for one example.

    A change dW moves z by dz = dWᵀa. Then dE = ⟨∇z, dWᵀa⟩ = aᵀ dW ∇z = ⟨a ∇zᵀ, dW⟩: each weight
    touches one input and one output, and its gradient is the product of the two. E = Σₙ cₙ Eₙ, so
    here, where the examples are summed, each one counts cₙ times (c=None: once).
    """
    weighted = grad_z if c is None else c[:, None].astype(grad_z.dtype) * grad_z
    return lax.dot_general(a, weighted, (_ROWS, ((), ())), preferred_element_type=accumulator(a))


def grad_weight_transposed(
    a: Float[Array, "N I"], grad_z: Float[Array, "N J"], c: Float[Array, " N"] | None = None
) -> Float[Array, "J I"]:
    """Equation 3 for W stored as its transpose: (∇W)ᵀ = (c ⊙ ∇Z)ᵀA, the outer product ∇z aᵀ.

    Texts that write z = Wa + b have it so. On a CPU it is also the faster one: XLA's product wants
    its first factor as rows times columns, and what has to be turned over for that is ∇Z here, and
    A there. Where J is not much smaller than I, or small, it pays to turn ∇Z over beforehand; the
    barrier keeps XLA from folding that into the product (128 × 512 × 512: 6 % of an epoch; for
    784 × 100 it would cost 19 %).
    """
    weighted = grad_z if c is None else c[:, None].astype(grad_z.dtype) * grad_z
    delta = weighted.T
    if a.shape[1] <= grad_z.shape[1] or grad_z.shape[1] <= _FEW_COLUMNS:
        delta = lax.optimization_barrier(delta)
    return jnp.matmul(delta, a, preferred_element_type=accumulator(a))


def grad_bias(
    grad_z: Float[Array, "N J"], c: Float[Array, " N"] | None = None
) -> Float[Array, " J"]:
    """The bias: ∇b = (c ⊙ ∇Z)ᵀ1 = Σₙ cₙ ∇zₙ, which is ∇b = ∇z for one example.

    dz = db, so ∇b = ∇z. It is equation 3 with a = 1: b is the weight of a neuron that is always 1.
    """
    total = accumulator(grad_z)
    if c is None:
        return jnp.sum(grad_z, axis=0, dtype=total)
    return weighted_sum(c.astype(total), grad_z.astype(total))
