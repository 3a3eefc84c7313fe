"""Watches a network while it computes: what went into and came out of every layer.

The proof must look at the pass that training runs, not at a copy of it. So each layer is wrapped
in one that behaves the same and notes its inputs, and the real `forward_backward` is traced
through the wrapped network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array

from mlp_jax.backprop import Layer

Path = tuple[int, ...]


@dataclass
class Seen:
    """What one layer saw in one pass, as JAX arrays or, on the host, NumPy arrays.

    The backward fields stay None if backward never came by.
    """

    params: Any
    state: Any
    a: Any
    key: Any
    mask: Any
    train: bool
    a_next: Any
    grad_a_next: Any = None
    grad_a: Any = None
    records: Any = None


@dataclass(frozen=True)
class Observed(Layer):
    """`inner` with a note of every call under `path` in `log`; ∇a is always computed."""

    inner: Layer
    path: Path
    log: dict[Path, Seen] = field(hash=False, compare=False)

    @property
    def children(self) -> tuple[Layer, ...]:
        """Those of the layer inside."""
        return self.inner.children

    @property
    def couples_examples(self) -> bool:
        """As the layer inside."""
        return self.inner.couples_examples

    @property
    def n_predictions(self) -> int:
        """As the layer inside."""
        return self.inner.n_predictions

    @property
    def has_state(self) -> bool:
        """As the layer inside."""
        return self.inner.has_state

    @property
    def draws(self) -> bool:
        """As the layer inside."""
        return self.inner.draws

    def width_out(self, n_in: int) -> int:
        """As the layer inside."""
        return self.inner.width_out(n_in)

    def forward(
        self,
        params: Any,
        state: Any,
        a: Array,
        *,
        train: bool,
        key: Array | None,
        mask: Array | None,
    ) -> tuple[Array, Any, Any]:
        """The layer's own forward, noted."""
        out = self.inner.forward(params, state, a, train=train, key=key, mask=mask)
        self.log[self.path] = Seen(params, state, a, key, mask, train, out[0])
        return out

    def backward(
        self, params: Any, residual: Any, grad_a_next: Array, *, need_grad_a: bool
    ) -> tuple[Array | None, Any]:
        """The layer's own backward, noted."""
        grad_a, records = self.inner.backward(params, residual, grad_a_next, need_grad_a=True)
        seen = self.log[self.path]
        seen.grad_a_next, seen.grad_a, seen.records = grad_a_next, grad_a, records
        return (grad_a if need_grad_a else None), records


def observe(network: Layer, log: dict[Path, Seen], path: Path = ()) -> Layer:
    """The network with every layer in it, composed or simple, wrapped."""
    children = tuple(
        observe(child, log, (*path, index)) for index, child in enumerate(network.children)
    )
    inner = network.with_children(children) if children else network
    return Observed(inner, path, log)


def walk(network: Layer, path: Path = ()) -> Iterator[tuple[Path, Layer]]:
    """Every layer of the network with its path, outermost first."""
    yield path, network
    for index, child in enumerate(network.children):
        yield from walk(child, (*path, index))


def at(tree: Any, path: Path) -> Any:
    """The part of a parameter tree that belongs to the layer at `path`."""
    for index in path:
        tree = tree[index]
    return tree


def path_name(path: Path) -> str:
    """A path for people: "2", or "2.0.1" inside a composed layer; "network" for the whole."""
    return ".".join(map(str, path)) if path else "network"
