"""`Beside`: a layer on the first columns of a row, concatenated with the remaining columns."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.network import child_key
from mlp_jax.backprop.specification import Layer, Params, Records, Saved, State
from mlp_jax.errors import InputError


@dataclass(frozen=True)
class Beside(Layer):
    """a' = (F(a₁), a₂) for a = (a₁, a₂), a₁ the first `n_first` columns.

    Embeddings of a table's numbers leave its categories unchanged this way; those of Holzmüller
    2024 pass the number on as well.

    Args:
        body: F.
        n_first: the number of columns that F takes.
        keep: also pass on a₁: a' = (F(a₁), a₁, a₂).
    """

    body: Layer
    n_first: int
    keep: bool = False

    def __post_init__(self) -> None:
        if self.n_first < 1:
            raise InputError(f"A layer on the first columns takes at least 1, not {self.n_first}.")

    def __str__(self) -> str:
        return f"Beside({self.body}, {self.n_first}{', keep' if self.keep else ''})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The body."""
        return (self.body,)

    def with_children(self, children: tuple[Layer, ...]) -> "Beside":
        """Return the same layer with another body."""
        return replace(self, body=children[0])

    def width_out(self, n_in: int) -> int:
        """Width of the body plus the columns passed on; InputError if there are fewer columns."""
        if n_in < self.n_first:
            raise InputError(f"There are no {self.n_first} first columns among {n_in}.")
        return self.body.width_out(self.n_first) + n_in - self.passed_from

    @property
    def passed_from(self) -> int:
        """Index of the first column that is passed on unchanged."""
        return 0 if self.keep else self.n_first

    def init(self, key: Array, n_in: int) -> tuple[tuple[Params, ...], tuple[State, ...]]:
        """Parameters and state of the body, in tuples of one."""
        self.width_out(n_in)
        params, state = self.body.init(key, self.n_first)
        return (params,), (state,)

    def forward(
        self,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, tuple[State, ...], Saved]:
        """F of the first columns, followed by the columns passed on."""
        first = a[:, : self.n_first]
        output, new_state, residual = self.body.forward(
            params[0], state[0], first, train=train, key=child_key(key, 0), mask=mask
        )
        passed = a[:, self.passed_from :].astype(output.dtype)
        return jnp.concatenate([output, passed], axis=1), (new_state,), residual

    def backward(
        self,
        params: tuple[Params, ...],
        residual: Saved,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, tuple[Records, ...]]:
        """∇a₁ through F (plus its own columns with `keep`), ∇a₂ unchanged."""
        width = self.body.width_out(self.n_first)
        grad_first, records = self.body.backward(
            params[0], residual, grad_a_next[:, :width], need_grad_a=need_grad_a
        )
        if not need_grad_a:
            return None, (records,)
        assert grad_first is not None
        passed = grad_a_next[:, width:].astype(grad_first.dtype)
        if not self.keep:
            return jnp.concatenate([grad_first, passed], axis=1), (records,)
        rest = passed[:, self.n_first :]
        return jnp.concatenate([grad_first + passed[:, : self.n_first], rest], axis=1), (records,)
