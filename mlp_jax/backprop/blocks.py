"""`BlockDense`: a small dense layer for each of G groups of features.

Letters: N examples, G groups, I inputs and J outputs of each group.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.block_records import BlockProduct
from mlp_jax.backprop.dense import activate, slope_times
from mlp_jax.backprop.initializers import initial_weight
from mlp_jax.backprop.records import PerExample
from mlp_jax.backprop.row_products import wide
from mlp_jax.backprop.specification import Layer, State
from mlp_jax.errors import InputError


def per_group(n_in: int, n_groups: int, what: str) -> int:
    """Inputs per group; InputError if n_in is not a multiple of the number of groups."""
    if n_in % n_groups:
        raise InputError(
            f"{what} of {n_groups} groups needs a multiple of {n_groups} inputs, not {n_in}."
        )
    return n_in // n_groups


@dataclass(frozen=True)
class BlockDense(Layer):
    """a'g = f(Wgᵀag + bg): a dense layer with its own weights for each of `n_blocks` groups.

    x (N, G·I), group by group, → (N, G·J). Used for embeddings of single features (Gorishniy 2022)
    and for the outputs of BatchEnsemble members (Gorishniy 2024). It is a dense layer with a
    block-diagonal W of which only the blocks are stored: parameters W (G, I, J) and b (G·J,).
    Equations 1 to 3 hold in each block. Products of such small blocks run in float32 or wider.

    Args:
        n_blocks: G.
        n_out: J, outputs per group.
        activation: f by name.
    """

    n_blocks: int
    n_out: int
    activation: str = "identity"

    def __post_init__(self) -> None:
        if min(self.n_blocks, self.n_out) < 1:
            raise InputError(
                f"Blocks need at least 1 group and output, not {self.n_blocks} and {self.n_out}."
            )
        get_activation(self.activation)

    def __str__(self) -> str:
        return f"BlockDense({self.n_blocks} × {self.n_out}, {self.activation})"

    def width_out(self, n_in: int) -> int:
        """G·J; InputError if n_in is not a multiple of G."""
        per_group(n_in, self.n_blocks, "A layer of blocks")
        return self.n_blocks * self.n_out

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """Initialize each block as a dense layer of its size, b = 0."""
        width = per_group(n_in, self.n_blocks, "A layer of blocks")
        name = get_activation(self.activation).initializer
        keys = jax.random.split(key, self.n_blocks)
        W = jax.vmap(lambda one: initial_weight(name, one, width, self.n_out))(keys)
        return {"W": W, "b": jnp.zeros((self.n_blocks * self.n_out,), jnp.float32)}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, tuple[Array, Array | None]]:
        """Zg = Ag Wg + 1bgᵀ, A' = f(Z)."""
        W = params["W"]
        a = a.astype(W.dtype).reshape(a.shape[0], self.n_blocks, W.shape[1])
        z = jnp.einsum("ngi,gij->ngj", wide(a), wide(W))
        z = z.reshape(a.shape[0], -1) + params["b"][None]
        a_next, kept = activate(self.activation, z, W.dtype)
        return a_next, state, (a, kept)

    def backward(
        self,
        params: dict[str, Array],
        residual: tuple[Array, Array | None],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, BlockProduct | PerExample]]:
        """Equation 1 on all, equation 2 in each block: ∇Ag = ∇Zg Wgᵀ."""
        W = params["W"]
        a, kept = residual
        grad_z = slope_times(self.activation, kept, grad_a_next).astype(W.dtype)
        blocks = grad_z.reshape(a.shape[0], self.n_blocks, self.n_out)
        records: dict[str, BlockProduct | PerExample] = {
            "W": BlockProduct(a, blocks),
            "b": PerExample(grad_z),
        }
        if not need_grad_a:
            return None, records
        grad_a = jnp.einsum("ngj,gij->ngi", wide(blocks), wide(W))
        return grad_a.reshape(a.shape[0], -1), records
