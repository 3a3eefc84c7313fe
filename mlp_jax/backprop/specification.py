"""`Layer`: a frozen, hashable specification whose methods are pure functions."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Bool, Float

Params = Any
State = Any
Saved = Any
Records = Any


@dataclass(frozen=True)
class Layer:
    """Base class of layers. Equal layers are equal, compile once, pickle, and can be serialized.

    Parameters, state, residual and records are pytrees whose shapes each layer chooses. `a` is
    (N, n_in), one example per row.
    """

    @property
    def couples_examples(self) -> bool:
        """True if one example's output depends on the others in training mode (batch norm)."""
        return any(child.couples_examples for child in self.children)

    @property
    def has_state(self) -> bool:
        """True if the layer has values that training updates without a gradient."""
        return any(child.has_state for child in self.children)

    @property
    def draws(self) -> bool:
        """True if forward in training mode needs a random key (dropout)."""
        return any(child.draws for child in self.children)

    @property
    def n_predictions(self) -> int:
        """Number of predictions per example in training mode, side by side.

        More than 1 for members that are trained separately; in inference there is always one.
        """
        return max((child.n_predictions for child in self.children), default=1)

    @property
    def children(self) -> tuple["Layer", ...]:
        """Layers that this one is composed of; none for a simple layer."""
        return ()

    def with_children(self, children: tuple["Layer", ...]) -> "Layer":
        """Return this layer composed of other children, as many as it has."""
        return self

    def contracting(self) -> "Layer":
        """Return the layer for a pass in which c comes first, which may sum its records."""
        return self

    def without_state(self) -> State:
        """Return the state of a layer without state, in the shape that `forward` takes."""
        return tuple(child.without_state() for child in self.children)

    def width_out(self, n_in: int) -> int:
        """Return the width of the output for an input of width n_in; InputError if none fits."""
        return n_in

    def init(self, key: Array, n_in: int) -> tuple[Params, State]:
        """Draw initial parameters (float32) and state.

        Args:
            key: random key.
            n_in: width of the inputs.

        Returns:
            (parameters, state).
        """
        return {}, ()

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Float[Array, "N J"], State, Saved]:
        """Compute the output.

        Args:
            params: parameters.
            state: state.
            a: inputs (N, I).
            train: training mode, or inference (False).
            key: random key for layers that draw.
            mask: rows (N,) that are examples and not padding; only batch statistics use it.

        Returns:
            (output (N, J), new state, residual): the residual is what `backward` needs.
        """
        raise NotImplementedError

    def backward(
        self,
        params: Params,
        residual: Saved,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Float[Array, "N I"] | None, Records]:
        """Compute the gradient of the input and the records of the parameters.

        Args:
            params: parameters.
            residual: residual of `forward`.
            grad_a_next: ∇a' of the output (N, J).
            need_grad_a: whether to compute ∇a.

        Returns:
            (∇a (N, I) or None, records).
        """
        raise NotImplementedError
