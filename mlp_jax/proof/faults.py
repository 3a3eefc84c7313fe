"""Deliberate faults: the mistakes that people make in a backward pass, one layer at a time.

Each fault is a layer, a loss or a pass that is wrong in one place. The proof must catch every one
and name the layer and the equation. `needs` are the options of `mlp` without which the mistake
cannot be made (or would not be one: relu has f'(a') = f'(z)).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import (
    ACTIVATIONS,
    BatchNorm,
    Categories,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    LookUp,
    Loss,
    OuterProduct,
    PerExample,
    Residual,
    Sequential,
    Tape,
    contract,
)
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.proof.observe import Observed
from mlp_jax.proof.oracles import (
    BIAS,
    CHAIN,
    EQUATION_1,
    EQUATION_2,
    EQUATION_3,
    EXAMPLE_NORMS,
    FORWARD,
    INPUT,
    NORM,
    SEED,
    parameter_equation,
)

Backward = tuple[Any, Any]


def _backward(layer: Any, params: Any, residual: Any, grad_a_next: Array, need: Any) -> Backward:
    """The right backward pass, for a faulty class to spoil."""
    return layer.backward(params, residual, grad_a_next, **need)


class _LostTranspose(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        _, records = _backward(super(), params, residual, grad_a_next, need)
        return records["W"].delta @ params["W"], records


class _WrongSign(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        return super().backward(params, residual, -grad_a_next, **need)


class _Doubled(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"W": records["W"]._replace(a=2 * records["W"].a)}


class _SlopeAtOutput(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        a, _ = residual
        f = ACTIVATIONS[self.activation]
        a_next = f.function(a @ params["W"] + params["b"][None, :])
        wrong = f.function(a_next) if f.keeps == "a" else a_next
        return super().backward(params, (a, wrong), grad_a_next, **need)


class _SlopeForgotten(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        a, _ = residual
        return super().backward(params, (a, None), grad_a_next, **need)


class _Swapped(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"W": _SwappedProduct(*records["W"])}


class _SwappedProduct(OuterProduct):
    def contract(self, c: Array | None) -> Array:
        return super().contract(c).T


class _OutputForInput(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        f = ACTIVATIONS[self.activation].function
        a_next = f(residual[0] @ params["W"] + params["b"][None, :])
        return grad_a, records | {"W": records["W"]._replace(a=a_next)}


class _BiasAveraged(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"b": PerExample(records["b"].g / grad_a_next.shape[0])}


class _BiasNormForgotten(Dense):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, records | {"b": _WithoutNorm(records["b"].g)}


class _WithoutNorm(PerExample):
    def squared_norms(self) -> Array:
        return jnp.zeros_like(super().squared_norms())


class _BiasNotAdded(Dense):
    def forward(self, params: Any, state: Any, a: Array, **options: Any) -> Any:
        return super().forward(params | {"b": 0 * params["b"]}, state, a, **options)


class _MaskRedrawn(Dropout):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        redrawn = None if residual is None else jnp.roll(residual, 1, axis=1)
        return super().backward(params, redrawn, grad_a_next, **need)


class _DropoutUnscaled(Dropout):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return (grad_a if residual is None else grad_a * (1 - self.rate)), records


class _ScaleForgotten(LayerNorm):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, _ = super().backward(
            params | {"scale": jnp.ones_like(params["scale"])}, residual, grad_a_next, **need
        )
        return grad_a, super().backward(params, residual, grad_a_next, **need)[1]


class _MeanTermDropped(LayerNorm):
    def input_grad(self, g_hat: Array, saved: Any) -> Array:
        along = jnp.mean(g_hat * saved.x_hat, axis=1, keepdims=True)
        return (g_hat - saved.x_hat * along) * saved.inverse_sigma


class _ScaleGradientOfInput(LayerNorm):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        raw = residual.x_hat / residual.inverse_sigma
        return grad_a, records | {"scale": PerExample(raw * grad_a_next)}


class _ShiftNotAdded(LayerNorm):
    def forward(self, params: Any, state: Any, a: Array, **options: Any) -> Any:
        return super().forward(params | {"shift": 0 * params["shift"]}, state, a, **options)


class _StatisticsConstant(BatchNorm):
    def input_grad(self, g_hat: Array, saved: Any) -> Array:
        return super().input_grad(g_hat, saved._replace(row_share=None))


class _RowBefore(Categories):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, {n: replace(r, index=r.index - 1) for n, r in records.items()}


class _UnknownInFirstRow(Categories):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, {n: replace(r, index=jnp.maximum(r.index, 1)) for n, r in records.items()}


class _RowsUnweighted(Categories):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        grad_a, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a, {n: _Unweighted(r.index, r.delta, r.n_rows) for n, r in records.items()}


@partial(jax.tree_util.register_dataclass, data_fields=["index", "delta"], meta_fields=["n_rows"])
@dataclass(frozen=True)
class _Unweighted(LookUp):
    def contract(self, c: Array | None) -> Array:
        return super().contract(None)


class _Skipping(Sequential):
    """Leaves its second-but-last layer out of the backward pass."""

    def backward(
        self, params: Any, residual: Any, grad_a_next: Array, *, need_grad_a: bool
    ) -> Backward:
        gone = len(self.layers) - 2
        short = tuple(layer for i, layer in enumerate(self.layers) if i != gone)
        kept_params, kept_residual = (
            tuple(v for i, v in enumerate(tree) if i != gone) for tree in (params, residual)
        )
        grad_a, records = Sequential(short).backward(
            kept_params, kept_residual, grad_a_next, need_grad_a=need_grad_a
        )
        _, own = _inside(self.layers[gone]).backward(
            params[gone], residual[gone], jnp.zeros_like(grad_a_next @ params[-1]["W"].T),
            need_grad_a=False,
        )  # fmt: skip
        return grad_a, (*records[:gone], own, *records[gone:])


def _inside(layer: Layer) -> Layer:
    return layer.inner if isinstance(layer, Observed) else layer


class _DetachedBody(Residual):
    def backward(self, params: Any, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        _, records = _backward(super(), params, residual, grad_a_next, need)
        return grad_a_next, records


class _MeanTwice(Loss):
    def gradient(self, output: Array, y: Array) -> Array:
        return super().gradient(output, y) / output.shape[0]


class _SoftmaxTwice(Loss):
    def gradient(self, output: Array, y: Array) -> Array:
        p, g = jax.nn.softmax(output, axis=1), super().gradient(output, y)
        return p * (g - jnp.sum(p * g, axis=1, keepdims=True))


class _TargetForgotten(Loss):
    def gradient(self, output: Array, y: Array) -> Array:
        return jax.nn.softmax(output, axis=1)


def _mean_forgotten(network: Layer, loss: Loss, train: bool, *arguments: Any) -> Any:
    value, state, _, tape = forward_backward(network, loss, train, *arguments)
    return value, state, contract(tape.records, None), tape


def _weights_after_batch_norm(network: Layer, loss: Loss, train: bool, *arguments: Any) -> Any:
    params, state, x, y, c, mask, key = arguments
    output, state, residual = network.forward(params, state, x, train=train, key=key, mask=mask)
    _, records = network.backward(params, residual, loss.gradient(output, y), need_grad_a=False)
    return c @ loss.value(output, y), state, contract(records, c), Tape(records)


@dataclass(frozen=True)
class Fault:
    """A mistake: where it is made, what the network must have for it, and where it must be found.

    replaces: the kind of layer (or Loss) that `wrong` stands in for; None where `wrong` is the
    whole pass. layer: the start of the report's layer label without its number. harmless:
    activations with which the mistake would be none.
    """

    summary: str
    replaces: type | None
    wrong: Any
    layer: str
    equation: str
    needs: dict[str, Any] = field(default_factory=dict)
    harmless: tuple[str, ...] = ()


_EMBEDDED: dict[str, Any] = {"categories": (20,)}
_SQUARE = {"hidden": (32, 32), "activation": "tanh"}
FAULTS: dict[str, Fault] = {
    "lost_transpose": Fault(
        "equation 2 with W in place of Wᵀ, on a square matrix",
        Dense, _LostTranspose, "Dense", EQUATION_2, _SQUARE),
    "sign": Fault("equation 1 with the sign turned", Dense, _WrongSign, "Dense", EQUATION_1),
    "factor_two": Fault("equation 3 doubled", Dense, _Doubled, "Dense", EQUATION_3),
    "slope_at_output": Fault(
        "f'(a') in place of f'(z)", Dense, _SlopeAtOutput, "Dense", EQUATION_1, _SQUARE,
        ("identity", "relu", "leaky_relu", "relu6")),
    "slope_forgotten": Fault(
        "equation 1 without f'", Dense, _SlopeForgotten, "Dense", EQUATION_1, _SQUARE,
        ("identity",)),
    "outer_product_swapped": Fault(
        "∇z aᵀ in place of a ∇zᵀ, on a square matrix",
        Dense, _Swapped, "Dense", EQUATION_3, _SQUARE),
    "output_for_input": Fault(
        "equation 3 with the layer's output in place of its input",
        Dense, _OutputForInput, "Dense", EQUATION_3, _SQUARE),
    "bias_averaged": Fault(
        "the bias gradient averaged once more", Dense, _BiasAveraged, "Dense", BIAS),
    "bias_not_added": Fault(
        "the forward pass without its bias", Dense, _BiasNotAdded, "Dense", FORWARD),
    "bias_norm_forgotten": Fault(
        "the norm of each example's gradient without the bias",
        Dense, _BiasNormForgotten, "Dense", EXAMPLE_NORMS),
    "mean_twice": Fault("1/N in the loss gradient as well", Loss, _MeanTwice, "loss", SEED),
    "mean_forgotten": Fault(
        "equation 3 without the weights c", None, _mean_forgotten, "Dense", EQUATION_3),
    "target_forgotten": Fault(
        "∇s = p in place of p − y", Loss, _TargetForgotten, "loss", SEED,
        {"loss": "softmax_cross_entropy"}),
    "softmax_twice": Fault(
        "the Jacobian of softmax applied to p − y, which holds it already", Loss, _SoftmaxTwice,
        "loss", SEED, {"loss": "softmax_cross_entropy"}),
    "skipped_layer": Fault(
        "a layer left out of the backward pass", Sequential, _Skipping, "Dense", CHAIN, _SQUARE),
    "residual_detached": Fault(
        "∇a of a residual layer without its body", Residual, _DetachedBody, "Residual", INPUT,
        {**_SQUARE, "residual": True}),
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
    "weights_after_batch_norm": Fault(
        "c in equation 3 though batch norm has mixed the examples",
        None, _weights_after_batch_norm, "loss", SEED, {"norm": "batch"}),
}  # fmt: skip


def _swapped_class(thing: Any, wrong: type) -> Any:
    """`thing` with the same fields as an instance of the faulty class."""
    return wrong(**{f.name: getattr(thing, f.name) for f in fields(thing)})


def _square(layer: Layer, n_in: int) -> bool:
    return layer.width_out(n_in) == n_in


def _replaced(layer: Layer, n_in: int, fault: Fault) -> tuple[Layer, bool]:
    """The network with the last fitting layer made faulty, and whether one was found."""
    children = list(layer.children)
    widths = [n_in] * len(children)
    if isinstance(layer, Sequential):
        for index, child in enumerate(children[:-1]):
            widths[index + 1] = child.width_out(widths[index])
    if fault.replaces is not Sequential:
        for index in reversed(range(len(children))):
            new, found = _replaced(children[index], widths[index], fault)
            if found:
                children[index] = new
                return layer.with_children(tuple(children)), True
    assert fault.replaces is not None
    fits = isinstance(layer, fault.replaces)
    if isinstance(layer, Dense) and fault.replaces is Dense and fault.needs:
        fits = _square(layer, n_in) and layer.activation not in fault.harmless
    if isinstance(layer, Sequential) and fault.replaces is Sequential:
        fits = len(children) > 1 and _square(children[-2], widths[-2])
        fits = fits and isinstance(children[-2], Dense)
    return (_swapped_class(layer, fault.wrong), True) if fits else (layer, False)


def inject(
    fault: Fault, network: Layer, loss: Loss, n_in: int
) -> tuple[Layer, Loss, Callable[..., Any]] | None:
    """(network, loss, pass) with the fault in them; None where the network has no place for it."""
    if fault.replaces is None:
        if fault.needs.get("norm") == "batch" and not network.couples_examples:
            return None
        return network, loss, fault.wrong
    if fault.replaces is Loss:
        if fault.needs.get("loss", loss.name) != loss.name:
            return None
        return network, _swapped_class(loss, fault.wrong), forward_backward
    faulty, found = _replaced(network, n_in, fault)
    return (faulty, loss, forward_backward) if found else None
