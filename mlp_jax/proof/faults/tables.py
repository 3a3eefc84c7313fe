"""Faults in the layers of tables: embeddings of numbers, blocks, members, learned activations."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import (
    Beside,
    BlockDense,
    BlockProduct,
    Cosines,
    FeatureScale,
    ParametricActivation,
    PerExample,
    Periodic,
    PiecewiseLinear,
    SharedDense,
    SharedProduct,
)
from mlp_jax.backprop.row_products import squared_lengths
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.faults.fault import Backward, Fault, backward_of
from mlp_jax.proof.oracles import EQUATION_3, EXAMPLE_NORMS, INPUT, parameter_equation


class _TurnForgotten(Periodic):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {"c": PerExample(records["c"].g / (2 * math.pi))}


class _PhaseFixed(Cosines):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"phase": PerExample(jnp.zeros_like(records["phase"].g))}


class _BinsNeverEnd(PiecewiseLinear):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        return super().backward(params, jnp.ones_like(residual), grad_a_next, **need)


class _BlocksMixed(BlockDense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        a, delta = records["W"]
        return grad_a, records | {"W": BlockProduct(a, jnp.roll(delta, 1, axis=1))}


class _KeptForgotten(Beside):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        width = self.body.width_out(self.n_first)
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        beside = grad_a_next[:, width : width + self.n_first]
        return grad_a.at[:, : self.n_first].add(-beside), records


class _OneMember(SharedDense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        a, delta = records["W"]
        return grad_a, records | {"W": SharedProduct(a[:, :1], delta[:, :1])}


class _FactorOfOutput(SharedDense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"s": PerExample(records["s"].g * params["s"][None])}


class _NormsMultiplied(SharedDense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"W": _ProductOfNorms(*records["W"])}


class _ProductOfNorms(SharedProduct):
    def squared_norms(self) -> Array:
        lengths = [squared_lengths(v.reshape(v.shape[0], -1)) for v in self]
        return lengths[0] * lengths[1]


class _IdentityForgotten(ParametricActivation):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {"alpha": PerExample(records["alpha"].g + grad_a_next * residual)}


class _ScaleOfOutput(FeatureScale):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {"s": PerExample(records["s"].g * params["s"][None])}


_PLR, _REALMLP, _TABM = {"table": "plr"}, {"table": "realmlp"}, {"table": "tabm"}
TABLES: dict[str, Fault] = {
    "periodic_turn_forgotten": Fault(
        "the gradient of a frequency without the 2π of its phase",
        Periodic, _TurnForgotten, "Periodic", parameter_equation("c"), _PLR),
    "blocks_mixed": Fault(
        "the gradient of each block with the ∇z of the block before it",
        BlockDense, _BlocksMixed, "BlockDense", EQUATION_3, _PLR),
    "phase_fixed": Fault(
        "the phase of a cosine as if it were not learned",
        Cosines, _PhaseFixed, "Cosines", parameter_equation("phase"), _REALMLP),
    "kept_forgotten": Fault(
        "∇a of numbers through their embedding alone, although they are kept, too",
        Beside, _KeptForgotten, "Beside", INPUT, _REALMLP),
    "feature_scale_of_output": Fault(
        "the gradient of a feature's scale from its output in place of its input",
        FeatureScale, _ScaleOfOutput, "FeatureScale", parameter_equation("s"), _REALMLP),
    "identity_forgotten": Fault(
        "∇α = ∇a' ⊙ f(z) in place of ∇a' ⊙ (f(z) − z)", ParametricActivation,
        _IdentityForgotten, "ParametricActivation", parameter_equation("alpha"), _REALMLP),
    "bins_never_end": Fault(
        "∇x through every bin, including those that x is not in",
        PiecewiseLinear, _BinsNeverEnd, "PiecewiseLinear", INPUT, _TABM),
    "one_member": Fault(
        "the gradient of a shared weight from one of its members",
        SharedDense, _OneMember, "SharedDense", EQUATION_3, _TABM),
    "factor_of_output": Fault(
        "∇s of a member from its scaled output in place of u",
        SharedDense, _FactorOfOutput, "SharedDense", parameter_equation("s"), _TABM),
    "shared_norm_multiplied": Fault(
        "the norm of a shared weight's gradient, a sum, as a product of norms",
        SharedDense, _NormsMultiplied, "SharedDense", EXAMPLE_NORMS, _TABM),
}  # fmt: skip
