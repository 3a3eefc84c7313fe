"""BatchEnsemble: k members that share their weight matrices and differ by rank-one factors.

Wen 2020, "BatchEnsemble"; Gorishniy 2024, "TabM", for tables. Member m has the weights
W ∘ (r_m s_mᵀ), which are never formed: the member's input is scaled, and its output.

Letters: N examples, k members side by side in every row (N, k·I), I inputs, J outputs, C of the
network. In one example the shared W meets k rows, so that its gradient is a sum over them.

    ====== ================================== =====================================
    \\      one member of one example          what is held
    ====== ================================== =====================================
    z      z = s ⊙ Wᵀ(r ⊙ a) + b              W (I, J), r (k·I,), s and b (k·J,)
    eq. 1  ∇z = ∇a' ⊙ f'(z)                   (N, k·J)
    u      ∇u = s ⊙ ∇z, u = Wᵀ(r ⊙ a)         (N, k·J)
    eq. 2  ∇a = r ⊙ W∇u                       (N, k·I)
    eq. 3  ∇W = Σ_m (r ⊙ a) ∇uᵀ               SharedProduct
    r, s   ∇r = a ⊙ W∇u, ∇s = u ⊙ ∇z          PerExample
    ====== ================================== =====================================
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.block_records import SharedProduct
from mlp_jax.backprop.blocks import per_group
from mlp_jax.backprop.dense import activate, slope_times
from mlp_jax.backprop.ensemble import LINKS, mean_output, mean_output_gradient
from mlp_jax.backprop.initializers import initial_weight
from mlp_jax.backprop.layer import grad_input, pre_activation
from mlp_jax.backprop.records import PerExample
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.errors import InputError, UnknownNameError

FACTORS = ("ones", "normal", "signs")


@dataclass(frozen=True)
class Members(Layer):
    """Repeat every row k times side by side, (N, I) → (N, k·I), as input of the members.

    Args:
        members: k.
    """

    members: int

    def __post_init__(self) -> None:
        if self.members < 1:
            raise InputError(f"A BatchEnsemble needs at least 1 member, not {self.members}.")

    def __str__(self) -> str:
        return f"Members({self.members})"

    def width_out(self, n_in: int) -> int:
        """k·I."""
        return self.members * n_in

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, None]:
        """(a, a, …, a)."""
        return jnp.tile(a, (1, self.members)), state, None

    def backward(
        self,
        params: Params,
        residual: None,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """∇a = Σ_m ∇a'_m: the adjoint of a copy is a sum."""
        each = grad_a_next.reshape(grad_a_next.shape[0], self.members, -1)
        return jnp.sum(each, axis=1), {}


@dataclass(frozen=True)
class SharedDense(Layer):
    """a' = f(s ⊙ Wᵀ(r ⊙ a) + b) for each of k members: W is shared, r, s and b are not.

    s starts at 1, b at 0.

    Args:
        n_out: J.
        members: k.
        activation: f by name.
        factors: initial r: "ones", or random "normal" or "signs" (±1) in the first layer, which
            make the members differ.
    """

    n_out: int
    members: int
    activation: str = "identity"
    factors: str = "ones"

    def __post_init__(self) -> None:
        if min(self.n_out, self.members) < 1:
            raise InputError(
                f"A shared layer needs a width and members of at least 1, not {self.n_out} and"
                f" {self.members}."
            )
        get_activation(self.activation)
        if self.factors not in FACTORS:
            raise UnknownNameError("start of the factors", self.factors, FACTORS)

    def __str__(self) -> str:
        return f"SharedDense({self.members} × {self.n_out}, {self.activation})"

    def width_out(self, n_in: int) -> int:
        """k·J."""
        per_group(n_in, self.members, "A shared layer")
        return self.members * self.n_out

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """W as a dense layer's, r by `factors`, s = 1, b = 0."""
        width = per_group(n_in, self.members, "A shared layer")
        of_W, of_r = jax.random.split(key)
        drawn = {
            "ones": lambda: jnp.ones((n_in,), jnp.float32),
            "normal": lambda: jax.random.normal(of_r, (n_in,), jnp.float32),
            "signs": lambda: jax.random.rademacher(of_r, (n_in,), jnp.float32),
        }
        params = {
            "W": initial_weight(
                get_activation(self.activation).initializer, of_W, width, self.n_out
            ),
            "r": drawn[self.factors](),
            "s": jnp.ones((self.members * self.n_out,), jnp.float32),
            "b": jnp.zeros((self.members * self.n_out,), jnp.float32),
        }
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
    ) -> tuple[Array, State, tuple[Array, Array, Array | None]]:
        """U = (r ⊙ A) W of all rows, Z = s ⊙ U + b, A' = f(Z)."""
        W = params["W"]
        a = a.astype(W.dtype)
        rows = (a * params["r"][None].astype(W.dtype)).reshape(-1, W.shape[0])
        u = pre_activation(W, None, rows).reshape(a.shape[0], -1)
        z = u * params["s"][None].astype(u.dtype) + params["b"][None].astype(u.dtype)
        a_next, kept = activate(self.activation, z, W.dtype)
        return a_next, state, (a, u, kept)

    def backward(
        self,
        params: dict[str, Array],
        residual: tuple[Array, Array, Array | None],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, SharedProduct | PerExample]]:
        """Equations 1 and 2 through s and r, whose gradients are computed on the way."""
        W = params["W"]
        a, u, kept = residual
        n = a.shape[0]
        grad_z = slope_times(self.activation, kept, grad_a_next)
        grad_u = (grad_z * params["s"][None].astype(grad_z.dtype)).astype(W.dtype)
        of_rows = grad_input(W, grad_u.reshape(-1, self.n_out)).reshape(n, -1)
        r = params["r"][None]
        records: dict[str, SharedProduct | PerExample] = {
            "W": SharedProduct(
                (a * r.astype(a.dtype)).reshape(n, self.members, -1),
                grad_u.reshape(n, self.members, -1),
            ),
            "r": PerExample(a.astype(of_rows.dtype) * of_rows),
            "s": PerExample(u.astype(grad_z.dtype) * grad_z),
            "b": PerExample(grad_z),
        }
        return (of_rows * r.astype(of_rows.dtype) if need_grad_a else None), records


@dataclass(frozen=True)
class MeanOfMembers(Layer):
    """Output layer of the members: separate predictions in training, their mean in inference.

    In training mode (N, k·C) is passed on, k predictions whose losses are averaged (`MemberLoss`);
    in inference the output (N, C) is the one whose prediction is the mean of theirs
    (`ensemble.mean_output`). Training on the mean would train one network in k parts (Gorishniy
    2024, §3).

    Args:
        members: k.
        link: from an output to a prediction, as in `Ensemble`.
    """

    members: int
    link: str

    def __post_init__(self) -> None:
        if self.members < 1:
            raise InputError(f"A BatchEnsemble needs at least 1 member, not {self.members}.")
        if self.link not in LINKS:
            raise UnknownNameError("link", self.link, LINKS)

    def __str__(self) -> str:
        return f"MeanOfMembers({self.members}, {self.link})"

    @property
    def n_predictions(self) -> int:
        """k."""
        return self.members

    def width_out(self, n_in: int) -> int:
        """C, in inference."""
        return per_group(n_in, self.members, "The mean of members")

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Array | None]:
        """Every member's output in training; the output of their mean prediction in inference."""
        if train:
            return a, state, None
        return mean_output(self.link, self._apart(a)), state, a

    def backward(
        self,
        params: Params,
        residual: Array | None,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """∇a' itself in training; each member's share of it in inference."""
        if residual is None:
            return grad_a_next, {}
        s = self._apart(residual.astype(grad_a_next.dtype))
        each = mean_output_gradient(self.link, s, grad_a_next)
        return jnp.moveaxis(each, 0, 1).reshape(residual.shape), {}

    def _apart(self, a: Float[Array, "N I"]) -> Float[Array, "K N C"]:
        """Split the members' outputs, one after the other."""
        return jnp.moveaxis(a.reshape(a.shape[0], self.members, -1), 1, 0)
