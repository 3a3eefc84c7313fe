"""Faults in the gradient of an embedding."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import Categories, LookUp
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.faults.fault import Backward, Fault, backward_of
from mlp_jax.proof.oracles import parameter_equation


class _RowBefore(Categories):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {n: replace(r, index=r.index - 1) for n, r in records.items()}


class _UnknownInFirstRow(Categories):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {n: replace(r, index=jnp.maximum(r.index, 1)) for n, r in records.items()}


class _RowsUnweighted(Categories):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, {n: _Unweighted(r.index, r.delta, r.n_rows) for n, r in records.items()}


@partial(jax.tree_util.register_dataclass, data_fields=["index", "delta"], meta_fields=["n_rows"])
@dataclass(frozen=True)
class _Unweighted(LookUp):
    def contract(self, c: Array | None) -> Array:
        return super().contract(None)


_EMBEDDED: dict[str, Any] = {"categories": (20,)}
EMBEDDINGS: dict[str, Fault] = {
    "embedding_row_before": Fault(
        "the gradient of an embedding put into the row before its own",
        Categories, _RowBefore, "Categories", parameter_equation("embedding_0"), _EMBEDDED),
    "embedding_of_unknown": Fault(
        "the gradient of code 0, which has no embedding, added to the first row",
        Categories, _UnknownInFirstRow, "Categories", parameter_equation("embedding_0"),
        _EMBEDDED),
    "embedding_unweighted": Fault(
        "the gradient of an embedding without the weights c",
        Categories, _RowsUnweighted, "Categories", parameter_equation("embedding_0"), _EMBEDDED),
}  # fmt: skip
