"""Faults in statistics of the tape: the gradient is right, and a statistic is not."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import Dense, PerExample
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.faults.fault import Backward, Fault, backward_of
from mlp_jax.proof.oracles import EXAMPLE_NORMS


class _BiasNormForgotten(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"b": _WithoutNorm(records["b"].g)}


class _WithoutNorm(PerExample):
    def squared_norms(self) -> Array:
        return jnp.zeros_like(super().squared_norms())


STATISTICS: dict[str, Fault] = {
    "bias_norm_forgotten": Fault(
        "the norm of each example's gradient without the bias",
        Dense, _BiasNormForgotten, "Dense", EXAMPLE_NORMS),
}  # fmt: skip
