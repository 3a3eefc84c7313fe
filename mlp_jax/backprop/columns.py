r"""First layer of a network on a table: numbers unchanged, categories one-hot or embedded.

Letters: N examples, K rows (codes) and D columns of a table E of embeddings. A category comes as
its code k in 1 to K; its one-hot vector 1ₖ (K,) has a 1 at k, and code 0 (not seen in training)
is the zero vector. An embedding is a dense layer on the one-hot vector (Guo & Berkhahn 2016):

    ====== =============== ============================== ======
    \      one example     a batch                         shape
    ====== =============== ============================== ======
    e      e = Eᵀ1ₖ        e_n = row kₙ of E               (N, D)
    eq. 3  ∇E = 1ₖ ∇eᵀ     row k of ∇E = Σ_{n: kₙ=k} cₙ∇eₙ (K, D)
    ====== =============== ============================== ======

The outer product of equation 3 has one nonzero row, so only its index is stored. A code is
discrete: its ∇a is 0.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mlp_jax.backprop.records import LookUp
from mlp_jax.backprop.specification import Layer, State
from mlp_jax.errors import InputError


def look_up(E: Float[Array, "K D"], code: Int[Array, " N"]) -> Float[Array, "N D"]:
    """e = Eᵀ1ₖ: row k of E for code k, zeros for code 0 and for invalid codes."""
    known = (code >= 1) & (code <= E.shape[0])
    rows = jnp.take(E, jnp.where(known, code - 1, 0), axis=0)
    return jnp.where(known[:, None], rows, jnp.zeros_like(rows))


def one_hot(code: Int[Array, " N"], n_codes: int, dtype: DTypeLike) -> Float[Array, "N K"]:
    """1ₖ for code k, zeros for code 0."""
    return (code[:, None] == jnp.arange(1, n_codes + 1, dtype=code.dtype)[None, :]).astype(dtype)


@dataclass(frozen=True)
class Categories(Layer):
    """x (N, n_numeric + len(codes)) → [numbers | one-hot vector or embedding of each category].

    An embedding is a parameter "embedding_j" (K, D).

    Args:
        n_numeric: number of numeric columns, which come first.
        codes: K of each category; its code is a number in the column after those before it. Codes
            must come in a type that represents them exactly, as float32 does.
        widths: D of each category's embedding; 0 for one-hot.
    """

    n_numeric: int
    codes: tuple[int, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.widths):
            raise InputError(
                f"Each of {len(self.codes)} categories needs a width, but {len(self.widths)} are"
                " given."
            )
        if self.n_numeric < 0 or min(self.codes, default=1) < 1 or min(self.widths, default=0) < 0:
            raise InputError(
                "A layer of categories needs at least 1 code each and widths that are not negative,"
                f" not {self.n_numeric} numbers, codes {self.codes} and widths {self.widths}."
            )

    def __str__(self) -> str:
        each = [f"{k}→{d}" if d else f"{k}" for k, d in zip(self.codes, self.widths, strict=True)]
        return f"Categories({self.n_numeric}, {' '.join(each)})"

    def width_out(self, n_in: int) -> int:
        """Width of the numbers plus K or D per category; InputError unless n_in fits."""
        if n_in != self.n_numeric + len(self.codes):
            raise InputError(
                f"A layer of {self.n_numeric} numbers and {len(self.codes)} categories takes"
                f" {self.n_numeric + len(self.codes)} inputs, not {n_in}."
            )
        return self.n_numeric + sum(self.block_widths)

    @property
    def block_widths(self) -> tuple[int, ...]:
        """Number of outputs of each category."""
        return tuple(d or k for k, d in zip(self.codes, self.widths, strict=True))

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """Draw E from a normal distribution with standard deviation 1/√D.

        A row then has about length 1, like the one-hot vector it replaces; Gorishniy 2021 draws at
        the same order of magnitude (uniform within ±1/√D).
        """
        self.width_out(n_in)
        params = {}
        for j, (n_codes, width) in enumerate(zip(self.codes, self.widths, strict=True)):
            if width:
                drawn = jax.random.normal(jax.random.fold_in(key, j), (n_codes, width), jnp.float32)
                params[f"embedding_{j}"] = drawn / width**0.5
        return params, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Int[Array, "N C"]]:
        """The numbers, then e = Eᵀ1ₖ or 1ₖ of each category; the codes are the residual."""
        codes = a[:, self.n_numeric :].astype(jnp.int32)
        blocks = [a[:, : self.n_numeric]]
        for j, n_codes in enumerate(self.codes):
            if self.widths[j]:
                blocks.append(look_up(params[f"embedding_{j}"], codes[:, j]).astype(a.dtype))
            else:
                blocks.append(one_hot(codes[:, j], n_codes, a.dtype))
        return jnp.concatenate(blocks, axis=1), state, codes

    def backward(
        self,
        params: dict[str, Array],
        residual: Int[Array, "N C"],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, LookUp]]:
        """∇a of the numbers is their ∇a', of a code 0; the records store ∇e with its row index."""
        records, start = {}, self.n_numeric
        for j, width in enumerate(self.block_widths):
            if self.widths[j]:
                grad_e = grad_a_next[:, start : start + width]
                records[f"embedding_{j}"] = LookUp(residual[:, j], grad_e, self.codes[j])
            start += width
        if not need_grad_a:
            return None, records
        still = jnp.zeros(residual.shape, grad_a_next.dtype)
        return jnp.concatenate([grad_a_next[:, : self.n_numeric], still], axis=1), records
