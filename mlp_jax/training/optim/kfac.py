"""K-FAC: natural gradient with Kronecker factors (Martens & Grosse 2015, Ba 2017).

For a dense layer with the gradient V (I + 1, J), the bias as its last row, the block of the Fisher
information is A ⊗ G (`backprop/kronecker.py`), and the direction (A ⊗ G)⁻¹ V = A⁻¹ V G⁻¹. A step:

1. factors: F̂ ← ε F̂ + (1 − ε) F of the batch, ε = min(1 − 1/t, decay) at the t-th update (§5), at
   targets drawn from the model;
2. inverses: of A + π γ 1 and G + γ/π 1 with γ = √damping and π² = (tr A/dim A)/(tr G/dim G), which
   minimizes the difference of their product from A ⊗ G + damping 1 (§6.3);
3. direction: U = A⁻¹ V G⁻¹; for a parameter with a diagonal d instead of a block, V/(d + damping);
4. bound: U is scaled by min(1, √(κ/(η² ⟨U, V⟩))), η the learning rate: ⟨U, V⟩ is UᵀFU, so the step
   moves the model's distributions by no more than κ/2 (Ba 2017, §5, trust region);
5. momentum, and the learning rate as last factor, which Optax applies.

Factors and inverses are updated every few steps only. In between, a step costs a gradient and two
products per layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, Int

from mlp_jax.backprop.kronecker import KroneckerFactors, has_block, is_layer
from mlp_jax.backprop.specification import Params

Curvature = Callable[[], Any]


class KfacState(NamedTuple):
    """State of K-FAC.

    steps: number of steps. factors: averaged, in the structure of `kronecker_factors`. inverses: of
    A and G with damping, 1/(d + damping) for a diagonal d. velocity: of the momentum, in the
    structure of the parameters.
    """

    steps: Int[Array, ""]
    factors: Any
    inverses: Any
    velocity: Any


@dataclass(frozen=True)
class Kfac:
    """Hyperparameters of K-FAC; the defaults are chosen by measurement (docs/kfac.md).

    damping: λ added to the Fisher information. norm_bound: κ. decay: of the averaged factors.
    factors_every, inverses_every: steps between updates; the second is a multiple of the first.
    """

    damping: float = 1e-3
    norm_bound: float = 1e-4
    momentum: float = 0.9
    decay: float = 0.95
    factors_every: int = 5
    inverses_every: int = 20

    def build(self, rate: optax.Schedule) -> optax.GradientTransformationExtraArgs:
        """Return the transformation that computes the direction, for the rate `rate(step)`.

        Its update takes `curvature_fn`: () -> Kronecker factors of the batch, called under a
        conditional when they are due. Without it, factors and inverses do not change.
        """

        def init(params: Params) -> KfacState:
            zeros = jax.tree.map(_zero_factors, params, is_leaf=is_layer)
            velocity = jax.tree.map(jnp.zeros_like, params)
            return KfacState(jnp.zeros((), jnp.int32), zeros, zeros, velocity)

        def update(
            grads: Params,
            state: KfacState,
            params: Params = None,
            *,
            curvature_fn: Curvature | None = None,
            **_: Any,
        ) -> tuple[Any, KfacState]:
            if curvature_fn is not None:
                state = self._informed(state, curvature_fn)
            direction = jax.tree.map(_directed, grads, state.inverses, is_leaf=is_layer)
            scale = self._within_bound(direction, grads, rate(state.steps))

            def gathered(speed: Array, towards: Array) -> Array:
                return self.momentum * speed + scale * towards

            velocity = jax.tree.map(gathered, state.velocity, direction)
            return velocity, state._replace(steps=state.steps + 1, velocity=velocity)

        return optax.GradientTransformationExtraArgs(init, update)

    def _informed(self, state: KfacState, curvature_fn: Curvature) -> KfacState:
        """Apply steps 1 and 2 if they are due."""
        factors = _when(
            state.steps,
            self.factors_every,
            lambda: self._averaged(state, curvature_fn()),
            state.factors,
        )
        inverses = _when(
            state.steps, self.inverses_every, lambda: self._inverted(factors), state.inverses
        )
        return state._replace(factors=factors, inverses=inverses)

    def _averaged(self, state: KfacState, new: Any) -> Any:
        """Apply step 1."""
        times = state.steps // self.factors_every + 1

        def blend(old: Array, fresh: Array) -> Array:
            kept = jnp.minimum(1 - 1 / times.astype(old.dtype), self.decay)
            return kept * old + (1 - kept) * fresh

        return jax.tree.map(blend, state.factors, new)

    def _inverted(self, factors: Any) -> Any:
        """Apply step 2 to every layer."""

        def one(layer: Any) -> Any:
            if isinstance(layer, KroneckerFactors):
                return damped_inverses(layer, self.damping)
            return jax.tree.map(lambda d: 1 / (d + self.damping), layer)

        return jax.tree.map(one, factors, is_leaf=_is_block)

    def _within_bound(self, direction: Any, grads: Params, rate: Any) -> Array:
        """Return the factor of step 4."""
        products = jax.tree.map(lambda d, g: jnp.sum(d * g), direction, grads)
        inner = reduce(jnp.add, jax.tree.leaves(products))
        moved = jnp.asarray(rate).astype(inner.dtype) ** 2 * inner
        return jnp.minimum(1, jnp.sqrt(self.norm_bound / moved))


def damped_inverses(factors: KroneckerFactors, damping: float) -> KroneckerFactors:
    """Return (A + πγ1)⁻¹ and (G + γ/π 1)⁻¹, γ = √damping (Martens & Grosse 2015, §6.3).

    A factor of zeros, for a layer that no example reaches, counts as if its trace were tiny.
    """
    A, G = factors
    tiny = jnp.finfo(A.dtype).tiny ** 0.5
    sizes = [jnp.maximum(jnp.trace(M) / M.shape[0], tiny) for M in (A, G)]
    pi, gamma = jnp.sqrt(sizes[0] / sizes[1]), damping**0.5
    return KroneckerFactors(_inverse(A, pi * gamma), _inverse(G, gamma / pi))


def _inverse(M: Float[Array, "J J"], damping: Array) -> Float[Array, "J J"]:
    one = jnp.eye(M.shape[0], dtype=M.dtype)
    lower = lax.linalg.cholesky(M + damping * one, symmetrize_input=False)
    return cho_solve((lower, True), one)


def _is_block(node: Any) -> bool:
    """Return whether a node of the factors is a layer: a pair A, G, or diagonals by name."""
    return isinstance(node, KroneckerFactors) or is_layer(node)


def _zero_factors(layer: dict[str, Array]) -> Any:
    if not has_block(layer):
        return jax.tree.map(jnp.zeros_like, layer)
    W = layer["W"]
    n_in, n_out = W.shape[0] + ("b" in layer), W.shape[1]
    return KroneckerFactors(jnp.zeros((n_in, n_in), W.dtype), jnp.zeros((n_out, n_out), W.dtype))


def _directed(grads: dict[str, Array], inverses: Any) -> Any:
    """Apply step 3 to a layer."""
    if not isinstance(inverses, KroneckerFactors):
        return jax.tree.map(jnp.multiply, grads, inverses)
    rows = jnp.vstack([grads["W"], grads["b"][None]]) if "b" in grads else grads["W"]
    rows = inverses.A @ rows @ inverses.G
    return {"W": rows[:-1], "b": rows[-1]} if "b" in grads else {"W": rows}


def _when(steps: Array, every: int, new: Callable[[], Any], old: Any) -> Any:
    """Return new() at multiples of `every` steps, else `old`."""
    if every == 1:
        return new()
    return lax.cond(steps % every == 0, new, lambda: old)
