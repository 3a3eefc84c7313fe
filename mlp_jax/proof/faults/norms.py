"""Faults in dropout, layer norm and batch norm."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import BatchNorm, Dropout, LayerNorm, PerExample
from mlp_jax.backprop.specification import Params, State
from mlp_jax.proof.faults.fault import Backward, Fault, backward_of
from mlp_jax.proof.oracles import INPUT, NORM


class _MaskRedrawn(Dropout):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        redrawn = None if residual is None else jnp.roll(residual, 1, axis=1)
        return super().backward(params, redrawn, grad_a_next, **need)


class _DropoutUnscaled(Dropout):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return (grad_a if residual is None else grad_a * (1 - self.rate)), records


class _ScaleForgotten(LayerNorm):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, _ = super().backward(
            params | {"scale": jnp.ones_like(params["scale"])}, residual, grad_a_next, **need
        )
        return grad_a, super().backward(params, residual, grad_a_next, **need)[1]


class _MeanTermDropped(LayerNorm):
    def input_grad(self, g_hat: Array, saved: Any) -> Array:
        along = jnp.mean(g_hat * saved.x_hat, axis=1, keepdims=True)
        return (g_hat - saved.x_hat * along) * saved.inverse_sigma


class _ScaleGradientOfInput(LayerNorm):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        raw = residual.x_hat / residual.inverse_sigma
        return grad_a, records | {"scale": PerExample(raw * grad_a_next)}


class _ShiftNotAdded(LayerNorm):
    def forward(self, params: Params, state: State, a: Array, **options: Any) -> Any:
        return super().forward(params | {"shift": 0 * params["shift"]}, state, a, **options)


class _StatisticsConstant(BatchNorm):
    def input_grad(self, g_hat: Array, saved: Any) -> Array:
        return super().input_grad(g_hat, saved._replace(row_share=None))


NORMS: dict[str, Fault] = {
    "dropout_mask_redrawn": Fault(
        "a new dropout mask in the backward pass", Dropout, _MaskRedrawn, "Dropout", INPUT,
        {"dropout": 0.3}),
    "dropout_unscaled": Fault(
        "the backward pass of dropout without 1/(1 − rate)",
        Dropout, _DropoutUnscaled, "Dropout", INPUT, {"dropout": 0.3}),
    "norm_scale_forgotten": Fault(
        "∇a of layer norm without its scale γ",
        LayerNorm, _ScaleForgotten, "LayerNorm", INPUT, {"norm": "layer"}),
    "norm_mean_dropped": Fault(
        "∇a of layer norm without the path through the mean",
        LayerNorm, _MeanTermDropped, "LayerNorm", INPUT, {"norm": "layer"}),
    "norm_scale_of_input": Fault(
        "∇γ from the centred input in place of x̂",
        LayerNorm, _ScaleGradientOfInput, "LayerNorm", "∇scale", {"norm": "layer"}),
    "norm_shift_not_added": Fault(
        "the forward pass of layer norm without its shift β",
        LayerNorm, _ShiftNotAdded, "LayerNorm", NORM, {"norm": "layer"}),
    "batch_statistics_constant": Fault(
        "∇a of batch norm as if mean and variance were constants",
        BatchNorm, _StatisticsConstant, "BatchNorm", INPUT, {"norm": "batch"}),
}  # fmt: skip
