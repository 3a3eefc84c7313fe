"""Definition of a deliberate fault."""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array

from mlp_jax.backprop.specification import Params

Backward = tuple[Any, Any]
SQUARE = {"hidden": (32, 32), "activation": "tanh"}


@dataclass(frozen=True)
class Fault:
    """A mistake: its place, the network that it needs, and where the check must find it.

    Args:
        summary: one line.
        replaces: kind of layer (or Loss) that `wrong` replaces; None if `wrong` is the whole pass.
        wrong: the faulty class or pass.
        layer: start of the report's layer label without its number.
        equation: name of the equation in the report.
        needs: options of the network.
        harmless: activations with which the mistake has no effect.
    """

    summary: str
    replaces: type | None
    wrong: Any
    layer: str
    equation: str
    needs: dict[str, Any] = field(default_factory=dict)
    harmless: tuple[str, ...] = ()


def backward_of(
    layer: Any, params: Params, residual: Any, grad_a_next: Array, need: Any
) -> Backward:
    """Run the correct backward pass, for a faulty class to modify."""
    return layer.backward(params, residual, grad_a_next, **need)
