"""What every layer is: a frozen, hashable specification whose methods are pure functions."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Bool, Float

Params = Any
State = Any
Saved = Any
Records = Any


@dataclass(frozen=True)
class Layer:
    """A layer as data: equal layers are equal, compile once, pickle, and can be written down.

    Parameters, state, residual and records are pytrees; their shapes are the layer's own affair.
    `a` is (N, n_in), one example a row.
    """

    @property
    def couples_examples(self) -> bool:
        """Whether one example's output depends on the others in training mode (batch norm)."""
        return any(child.couples_examples for child in self.children)

    @property
    def has_state(self) -> bool:
        """Whether the layer keeps figures that training updates without a gradient."""
        return any(child.has_state for child in self.children)

    @property
    def draws(self) -> bool:
        """Whether forward in training mode needs a random key (dropout)."""
        return any(child.draws for child in self.children)

    @property
    def n_predictions(self) -> int:
        """How many predictions of an example it gives in training mode, side by side.

        More than 1 where members are trained each by itself; in inference there is always one.
        """
        return max((child.n_predictions for child in self.children), default=1)

    @property
    def children(self) -> tuple["Layer", ...]:
        """The layers that this one is composed of; none for a simple layer."""
        return ()

    def with_children(self, children: tuple["Layer", ...]) -> "Layer":
        """This layer composed of other children, as many as it has."""
        return self

    def contracting(self) -> "Layer":
        """The same layer for a pass in which c comes first: it may sum its records itself."""
        return self

    def without_state(self) -> State:
        """The state of a layer that keeps none, in the shape that `forward` takes."""
        return tuple(child.without_state() for child in self.children)

    def width_out(self, n_in: int) -> int:
        """The width of the output for an input of width n_in; InputError where none fits."""
        return n_in

    def init(self, key: Array, n_in: int) -> tuple[Params, State]:
        """Initial parameters (float32) and state for inputs of width n_in."""
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
        """The output, the new state, and what the backward pass needs, no more.

        mask: rows that are examples and not padding; only batch statistics look at it.
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
        """∇a (None unless asked for) and the records, given ∇a' of the output."""
        raise NotImplementedError
