"""Faults in the equations of a dense layer."""

from typing import Any

from jaxtyping import Array

from mlp_jax.backprop import ACTIVATIONS, Dense, OuterProduct, PerExample
from mlp_jax.backprop.specification import Params, State
from mlp_jax.proof.faults.fault import SQUARE, Backward, Fault, backward_of
from mlp_jax.proof.oracles import BIAS, EQUATION_1, EQUATION_2, EQUATION_3, FORWARD


class _LostTranspose(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        _, records = backward_of(super(), params, residual, grad_a_next, need)
        return records["W"].delta @ params["W"], records


class _WrongSign(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        return super().backward(params, residual, -grad_a_next, **need)


class _Doubled(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"W": records["W"]._replace(a=2 * records["W"].a)}


class _SlopeAtOutput(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        a, _ = residual
        f = ACTIVATIONS[self.activation]
        a_next = f.function(a @ params["W"] + params["b"][None, :])
        wrong = f.function(a_next) if f.keeps == "a" else a_next
        return super().backward(params, (a, wrong), grad_a_next, **need)


class _SlopeForgotten(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        a, _ = residual
        return super().backward(params, (a, None), grad_a_next, **need)


class _Swapped(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"W": _SwappedProduct(*records["W"])}


class _SwappedProduct(OuterProduct):
    def contract(self, c: Array | None) -> Array:
        return super().contract(c).T


class _OutputForInput(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        f = ACTIVATIONS[self.activation].function
        a_next = f(residual[0] @ params["W"] + params["b"][None, :])
        return grad_a, records | {"W": records["W"]._replace(a=a_next)}


class _BiasAveraged(Dense):
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = backward_of(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"b": PerExample(records["b"].g / grad_a_next.shape[0])}


class _BiasNotAdded(Dense):
    def forward(self, params: Params, state: State, a: Array, **options: Any) -> Any:
        return super().forward(params | {"b": 0 * params["b"]}, state, a, **options)


DENSE: dict[str, Fault] = {
    "lost_transpose": Fault(
        "equation 2 with W in place of Wᵀ, on a square matrix",
        Dense, _LostTranspose, "Dense", EQUATION_2, SQUARE),
    "sign": Fault("equation 1 with the wrong sign", Dense, _WrongSign, "Dense", EQUATION_1),
    "factor_two": Fault("equation 3 doubled", Dense, _Doubled, "Dense", EQUATION_3),
    "slope_at_output": Fault(
        "f'(a') in place of f'(z)", Dense, _SlopeAtOutput, "Dense", EQUATION_1, SQUARE,
        ("identity", "relu", "leaky_relu", "relu6")),
    "slope_forgotten": Fault(
        "equation 1 without f'", Dense, _SlopeForgotten, "Dense", EQUATION_1, SQUARE,
        ("identity",)),
    "outer_product_swapped": Fault(
        "∇z aᵀ in place of a ∇zᵀ, on a square matrix",
        Dense, _Swapped, "Dense", EQUATION_3, SQUARE),
    "output_for_input": Fault(
        "equation 3 with the layer's output in place of its input",
        Dense, _OutputForInput, "Dense", EQUATION_3, SQUARE),
    "bias_averaged": Fault(
        "the bias gradient averaged twice", Dense, _BiasAveraged, "Dense", BIAS),
    "bias_not_added": Fault(
        "the forward pass without its bias", Dense, _BiasNotAdded, "Dense", FORWARD),
}  # fmt: skip
