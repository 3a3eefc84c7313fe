"""Faults of the whole pass: the chain of layers, the gradient of the loss, the place of c."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mlp_jax.backprop import Layer, Loss, Residual, Sequential, Tape, contract
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.faults.fault import SQUARE, Backward, Fault, backward_of
from mlp_jax.proof.observe import Observed
from mlp_jax.proof.oracles import CHAIN, EQUATION_3, INPUT, SEED


class _Skipping(Sequential):
    """Skip the second-but-last layer in the backward pass."""

    def backward(
        self, params: Params, residual: Any, grad_a_next: Array, *, need_grad_a: bool
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
    def backward(self, params: Params, residual: Any, grad_a_next: Array, **need: bool) -> Backward:
        _, records = backward_of(super(), params, residual, grad_a_next, need)
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


PASSES: dict[str, Fault] = {
    "mean_twice": Fault("1/N in the loss gradient as well", Loss, _MeanTwice, "loss", SEED),
    "mean_forgotten": Fault(
        "equation 3 without the weights c", None, _mean_forgotten, "Dense", EQUATION_3),
    "target_forgotten": Fault(
        "∇s = p in place of p − y", Loss, _TargetForgotten, "loss", SEED,
        {"loss": "softmax_cross_entropy"}),
    "softmax_twice": Fault(
        "the Jacobian of softmax applied to p − y, which includes it", Loss, _SoftmaxTwice,
        "loss", SEED, {"loss": "softmax_cross_entropy"}),
    "skipped_layer": Fault(
        "a layer left out of the backward pass", Sequential, _Skipping, "Dense", CHAIN, SQUARE),
    "residual_detached": Fault(
        "∇a of a residual layer without its body", Residual, _DetachedBody, "Residual", INPUT,
        {**SQUARE, "residual": True}),
    "weights_after_batch_norm": Fault(
        "c in equation 3, although batch norm mixes the examples",
        None, _weights_after_batch_norm, "loss", SEED, {"norm": "batch"}),
}  # fmt: skip
