"""Record the inputs and outputs of every layer while a network computes.

The check must observe the pass that training runs, not a copy of it. So each layer is wrapped in
one that behaves the same and records its inputs, and the real `forward_backward` is traced through
the wrapped network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array, PyTree

from mlp_jax.backprop import Layer
from mlp_jax.backprop.specification import Params, Records, Saved, State

Path = tuple[int, ...]


@dataclass
class Seen:
    """Values of one layer in one pass, as JAX arrays or, on the host, NumPy arrays.

    The backward fields stay None if backward did not reach the layer.
    """

    params: Params
    state: State
    a: Any
    key: Any
    mask: Any
    train: bool
    a_next: Any
    grad_a_next: Any = None
    grad_a: Any = None
    records: Records = None


@dataclass(frozen=True)
class Observed(Layer):
    """`inner` with a record of every call under `path` in `log`; ∇a is always computed."""

    inner: Layer
    path: Path
    log: dict[Path, Seen] = field(hash=False, compare=False)

    @property
    def children(self) -> tuple[Layer, ...]:
        """Children of the inner layer."""
        return self.inner.children

    @property
    def couples_examples(self) -> bool:
        """As the inner layer."""
        return self.inner.couples_examples

    @property
    def n_predictions(self) -> int:
        """As the inner layer."""
        return self.inner.n_predictions

    @property
    def has_state(self) -> bool:
        """As the inner layer."""
        return self.inner.has_state

    @property
    def draws(self) -> bool:
        """As the inner layer."""
        return self.inner.draws

    def width_out(self, n_in: int) -> int:
        """As the inner layer."""
        return self.inner.width_out(n_in)

    def forward(
        self,
        params: Params,
        state: State,
        a: Array,
        *,
        train: bool,
        key: Array | None,
        mask: Array | None,
    ) -> tuple[Array, Any, Any]:
        """The inner layer's forward, recorded."""
        out = self.inner.forward(params, state, a, train=train, key=key, mask=mask)
        self.log[self.path] = Seen(
            params=params, state=state, a=a, key=key, mask=mask, train=train, a_next=out[0]
        )
        return out

    def backward(
        self, params: Params, residual: Saved, grad_a_next: Array, *, need_grad_a: bool
    ) -> tuple[Array | None, Any]:
        """The inner layer's backward, recorded."""
        grad_a, records = self.inner.backward(params, residual, grad_a_next, need_grad_a=True)
        seen = self.log[self.path]
        seen.grad_a_next, seen.grad_a, seen.records = grad_a_next, grad_a, records
        return (grad_a if need_grad_a else None), records


def observe(network: Layer, log: dict[Path, Seen], path: Path = ()) -> Layer:
    """Return the network with every layer in it, composed or simple, wrapped."""
    children = tuple(
        observe(child, log, (*path, index)) for index, child in enumerate(network.children)
    )
    inner = network.with_children(children) if children else network
    return Observed(inner, path, log)


def walk(network: Layer, path: Path = ()) -> Iterator[tuple[Path, Layer]]:
    """Iterate over every layer of the network with its path, outermost first."""
    yield path, network
    for index, child in enumerate(network.children):
        yield from walk(child, (*path, index))


def at(tree: PyTree, path: Path) -> Any:
    """Part of a parameter tree that belongs to the layer at `path`."""
    for index in path:
        tree = tree[index]
    return tree


def path_name(path: Path) -> str:
    """Format a path: "2", or "2.0.1" inside a composed layer; "network" for the whole."""
    return ".".join(map(str, path)) if path else "network"
