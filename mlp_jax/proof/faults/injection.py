"""Injection of a fault into a network: the last layer that it fits, the loss, or the whole pass."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mlp_jax.backprop import Dense, Layer, Loss, Sequential
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.proof.faults.fault import Fault


def _swapped_class(thing: Any, wrong: type) -> Any:
    """Return an instance of the faulty class with the fields of `thing`."""
    return wrong(**{f.name: getattr(thing, f.name) for f in fields(thing)})


def _square(layer: Layer, n_in: int) -> bool:
    return layer.width_out(n_in) == n_in


def _replaced(layer: Layer, n_in: int, fault: Fault) -> tuple[Layer, bool]:
    """Return the network with the last fitting layer made faulty, and whether one was found."""
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
    """Inject a fault.

    Args:
        fault: the fault.
        network: the network.
        loss: the loss.
        n_in: width of the input.

    Returns:
        (network, loss, pass), one of them faulty, or None if the network has no place for the
        fault.
    """
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
