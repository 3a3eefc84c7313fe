"""Witnesses that JAX computes: `jax.vjp` per layer, `jax.grad` of the whole, differences.

Everything here is traced into one program beside the observed pass, and returns arrays;
`compare.py` compares them with ours on the host.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mlp_jax.backprop import ACTIVATIONS, Activation, Dense, Layer, Loss
from mlp_jax.backprop.layer import pre_activation
from mlp_jax.backprop.member_loss import MemberLoss
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.observe import Path, Seen

FORWARD = "z = Wᵀa + b, a' = f(z)"
ACTIVATE = "a' = f(z)"
LOOK_UP = "a' = (a, Eᵀ1ₖ)"
NORM = "y = γ ⊙ x̂ + β"
OUTPUT = "a'"
EQUATION_1 = "∇z = ∇a' ⊙ f'(z)"
EQUATION_2 = "∇a = W ∇z"
EQUATION_3 = "∇W = a ∇zᵀ"
BIAS = "∇b = ∇z"
INPUT = "∇a"
CHAIN = "chain rule"
VALUE = "E = Σ c E"
SEED = "∇s"
EXAMPLE_NORMS = "‖gₙ‖²"
SECOND_MOMENT = "Σ cₙ gₙ²"


def parameter_equation(name: str) -> str:
    """Name of the equation for the gradient of that parameter."""
    return {"W": EQUATION_3, "b": BIAS}.get(name, f"∇{name}")


def input_equation(layer: Layer) -> str:
    """Name of the equation for ∇a of a simple layer: equation 1 for an activation layer."""
    return EQUATION_1 if isinstance(layer, Activation) else INPUT


def weighted(c: Array | None, values: Array) -> Array:
    """c ⊙ values, row by row; values if c is None."""
    return values if c is None else c[:, None].astype(values.dtype) * values


def dense_equations(layer: Dense, seen: Seen, c: Array | None) -> dict[str, Array]:
    """Equations 1, 2, 3 and the bias of a dense layer by `jax.vjp`, at the layer's own inputs.

    Each starts from *our* result of the equation before it, so that a fault is reported once.
    """
    W, b = seen.params["W"], seen.params.get("b")
    assert seen.grad_a_next is not None
    a, f = seen.a.astype(W.dtype), ACTIVATIONS[layer.activation].function
    z, pull_linear = jax.vjp(pre_activation, W, b, a)
    grad_z = seen.records["W"].delta.astype(z.dtype)
    expected = {
        EQUATION_1: jax.vjp(f, z)[1](seen.grad_a_next.astype(z.dtype))[0],
        EQUATION_2: pull_linear(grad_z)[2],
    }
    grad_W, grad_b, _ = pull_linear(weighted(c, grad_z))
    expected[EQUATION_3] = grad_W
    if b is not None:
        expected[BIAS] = grad_b
    return expected


def simple_layer_equations(layer: Layer, seen: Seen, c: Array | None) -> dict[str, Array]:
    """∇a and the gradient of each parameter of a simple layer, by its own forward's `jax.vjp`."""

    def forward(params: Params, a: Array) -> Array:
        return layer.forward(params, seen.state, a, train=seen.train, key=seen.key, mask=seen.mask)[
            0
        ]

    assert seen.grad_a_next is not None
    output, pull_back = jax.vjp(forward, seen.params, seen.a)
    cotangent = seen.grad_a_next.astype(output.dtype)
    expected = {input_equation(layer): pull_back(cotangent)[1]}
    for name, grad in pull_back(weighted(c, cotangent))[0].items():
        expected[parameter_equation(name)] = grad
    return expected


def local_gradients(
    layers: list[tuple[Path, Layer]], log: dict[Path, Seen], c: Array | None
) -> dict[Path, dict[str, Array]]:
    """Witness 1 for every simple layer; c=None if the tape includes c already."""
    expected: dict[Path, dict[str, Array]] = {}
    for path, layer in layers:
        seen = log[path]
        if layer.children or seen.grad_a_next is None:
            continue
        if isinstance(layer, Dense):
            expected[path] = dense_equations(layer, seen, c)
        else:
            expected[path] = simple_layer_equations(layer, seen, c)
    return expected


def loss_gradient(
    loss: Loss | MemberLoss, root: Seen, y: Array, c: Float[Array, " N"], coupled: bool
) -> tuple[Array, Array]:
    """Eₙ (N,), and by `jax.vjp` the gradient that must enter the network's output."""
    output = root.a_next.astype(c.dtype)
    each, pull_back = jax.vjp(lambda s: loss.value(s, y), output)
    return each, pull_back(c if coupled else jnp.ones_like(c))[0]


def example_statistics(
    pull_back: Callable[[Array], Any], params: Params, c: Float[Array, " N"]
) -> tuple[Any, Any]:
    """(‖gₙ‖² (N,), Σ cₙgₙ²) of each parameter, from every gₙ formed, one after the other.

    pull_back: the result of `jax.vjp` at `params` for params -> Eₙ (N,) of the whole batch, so that
    random draws of the batch stay the same: gₙ = ∇Eₙ is its value at the n-th unit vector. The N
    gradients are never in memory together.
    """

    def one(moment: Any, row: tuple[Array, Array]) -> tuple[Any, Any]:
        hot, weight = row
        (gradient,) = pull_back(hot)
        moment = jax.tree.map(lambda m, g: m + weight * g**2, moment, gradient)
        return moment, jax.tree.map(lambda g: jnp.sum(g**2), gradient)

    start = jax.tree.map(jnp.zeros_like, params)
    moment, norms = jax.lax.scan(one, start, (jnp.eye(c.shape[0], dtype=c.dtype), c))
    return norms, moment


def central_differences(
    objective: Callable[[Any], Array], params: Params, directions: Any, steps: Float[Array, " H"]
) -> Float[Array, "D H"]:
    """Witness 3: (E(θ + hv) − E(θ − hv))/2h for each direction v (leading axis D) and step h."""

    def along(direction: Any) -> Array:
        def at_step(h: Array) -> Array:
            return objective(jax.tree.map(lambda p, v: p + h * v, params, direction))

        after, before = jax.lax.map(at_step, jnp.concatenate([steps, -steps])).reshape(2, -1)
        return (after - before) / (2 * steps)

    return jax.lax.map(along, directions)
