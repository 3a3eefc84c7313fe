"""What a deliberate fault is."""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array

Backward = tuple[Any, Any]
SQUARE = {"hidden": (32, 32), "activation": "tanh"}


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


def backward_of(layer: Any, params: Any, residual: Any, grad_a_next: Array, need: Any) -> Backward:
    """The right backward pass, for a faulty class to spoil."""
    return layer.backward(params, residual, grad_a_next, **need)
