r"""Embeddings of numeric features: periodic functions, bins and learned scales.

Letters: N examples, G features, K frequencies of each; a feature's outputs stand side by side.

    ============ ============================== =====================================
    \            forward                        backward
    ============ ============================== =====================================
    Periodic     φ = 2π c x, (cos φ, sin φ)     ∇φ = sin'φ ⊙ … = cos φ ∇sin − sin φ ∇cos
                                                ∇c = 2π x ∇φ, ∇x = Σₖ 2π cₖ ∇φₖ
    Cosines      φ = 2π w x + β, cos φ          ∇φ = −sin φ ∇cos, ∇β = ∇φ, the rest alike
    FeatureScale a' = s ⊙ a                     ∇s = a ⊙ ∇a', ∇a = s ⊙ ∇a'
    ============ ============================== =====================================
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.records import PerExample
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.errors import InputError

_TURN = 2 * math.pi


def _spread_out(x: Float[Array, "N G"], frequencies: int) -> Float[Array, "N GK"]:
    """Repeat each feature for each of its frequencies."""
    return jnp.repeat(x, frequencies, axis=1)


@dataclass(frozen=True)
class _Waves(Layer):
    """Base class of `Periodic` and `Cosines`: K frequencies per feature, drawn from N(0, σ²)."""

    frequencies: int
    sigma: float | tuple[float, ...]

    def __post_init__(self) -> None:
        if self.frequencies < 1 or not all(0 < each < math.inf for each in self._spreads()):
            raise InputError(
                f"Waves need at least 1 frequency and a positive spread of them, not"
                f" {self.frequencies} and {self.sigma}."
            )

    def _spreads(self) -> tuple[float, ...]:
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,)

    def _said(self) -> str:
        low, high = min(self._spreads()), max(self._spreads())
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    def _drawn(self, key: Array, n_in: int) -> Float[Array, " GK"]:
        drawn = jax.random.normal(key, (n_in * self.frequencies,), jnp.float32)
        spreads = self._spreads()
        if len(spreads) == 1:
            return spreads[0] * drawn
        if len(spreads) != n_in:
            raise InputError(f"Waves with a σ for {len(spreads)} features were given {n_in}.")
        return jnp.repeat(jnp.asarray(spreads, jnp.float32), self.frequencies) * drawn

    def _grads(
        self, c: Float[Array, " GK"], x: Float[Array, "N G"], grad_phase: Float[Array, "N GK"]
    ) -> tuple[Float[Array, "N G"], PerExample]:
        """∇x = Σₖ 2π cₖ ∇φₖ, and the record of ∇c = 2π x ∇φ."""
        each = (_TURN * grad_phase) * c[None].astype(grad_phase.dtype)
        grad_x = jnp.sum(each.reshape(*x.shape, self.frequencies), axis=2)
        spread = _spread_out(x, self.frequencies).astype(grad_phase.dtype)
        return grad_x, PerExample(_TURN * spread * grad_phase)


@dataclass(frozen=True)
class Periodic(_Waves):
    """x ↦ (cos 2πc₁x, …, cos 2πc_Kx, sin 2πc₁x, …, sin 2πc_Kx) of each feature, c learned.

    (N, G) → (N, G·2K). Gorishniy 2022, "On Embeddings for Numerical Features in Tabular Deep
    Learning", eq. 4, with c ~ N(0, σ²) initially; followed by a `BlockDense` and a ReLU it is PLR.

    Args:
        frequencies: K.
        sigma: σ, one for all features or one for each.
    """

    def __str__(self) -> str:
        return f"Periodic({self.frequencies}, σ={self._said()})"

    def width_out(self, n_in: int) -> int:
        """2K per feature."""
        return 2 * self.frequencies * n_in

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """c from N(0, σ²)."""
        return {"c": self._drawn(key, n_in)}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N G"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, tuple[Array, Array]]:
        """φ = 2π c x, its cosines and sines, feature by feature; they are the residual."""
        phase = _TURN * _spread_out(a, self.frequencies) * params["c"][None].astype(a.dtype)
        phase = phase.reshape(*a.shape, self.frequencies)
        waves = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=2)
        return waves.reshape(a.shape[0], -1), state, (a, waves)

    def backward(
        self,
        params: dict[str, Array],
        residual: tuple[Array, Array],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, PerExample]]:
        """∇φ = cos φ ⊙ ∇sin − sin φ ⊙ ∇cos, for d(cos φ) = −sin φ dφ and d(sin φ) = cos φ dφ."""
        a, waves = residual
        cos, sin = jnp.split(waves.astype(grad_a_next.dtype), 2, axis=2)
        grad_cos, grad_sin = jnp.split(grad_a_next.reshape(waves.shape), 2, axis=2)
        grad_phase = (cos * grad_sin - sin * grad_cos).reshape(a.shape[0], -1)
        grad_a, record = self._grads(params["c"], a, grad_phase)
        return (grad_a if need_grad_a else None), {"c": record}


@dataclass(frozen=True)
class Cosines(_Waves):
    """x ↦ (cos(2πw₁x + β₁), …, cos(2πw_Kx + β_K)) of each feature, w and β learned.

    (N, G) → (N, G·K). Holzmüller 2024, "Better by Default" (RealMLP), its PBLD embedding, with
    w ~ N(0, σ²) and β uniform within ±π; followed by a `BlockDense`, beside x, it is PBLD.

    Args:
        frequencies: K.
        sigma: σ, one for all features or one for each.
    """

    def __str__(self) -> str:
        return f"Cosines({self.frequencies}, σ={self._said()})"

    def width_out(self, n_in: int) -> int:
        """K per feature."""
        return self.frequencies * n_in

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """w from N(0, σ²), β uniform in (−π, π)."""
        of_w, of_phase = jax.random.split(key)
        shape = (n_in * self.frequencies,)
        phase = jax.random.uniform(of_phase, shape, jnp.float32, -math.pi, math.pi)
        return {"w": self._drawn(of_w, n_in), "phase": phase}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N G"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, tuple[Array, Array]]:
        """φ = 2π w x + β, and its cosines."""
        w, start = (params[name][None].astype(a.dtype) for name in ("w", "phase"))
        phase = _TURN * _spread_out(a, self.frequencies) * w + start
        return jnp.cos(phase), state, (a, phase)

    def backward(
        self,
        params: dict[str, Array],
        residual: tuple[Array, Array],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, PerExample]]:
        """∇φ = −sin φ ⊙ ∇a', and ∇β = ∇φ."""
        a, phase = residual
        grad_phase = -jnp.sin(phase).astype(grad_a_next.dtype) * grad_a_next
        grad_a, record = self._grads(params["w"], a, grad_phase)
        return (grad_a if need_grad_a else None), {"w": record, "phase": PerExample(grad_phase)}


@dataclass(frozen=True)
class FeatureScale(Layer):
    """a' = s ⊙ a, a learned scale per feature that starts at 1: soft feature selection.

    Holzmüller 2024 (RealMLP), its scaling layer. Parameter s (J,).
    """

    def __str__(self) -> str:
        return "FeatureScale"

    def init(self, key: Array, n_in: int) -> tuple[dict[str, Array], tuple[()]]:
        """s = 1."""
        return {"s": jnp.ones((n_in,), jnp.float32)}, ()

    def forward(
        self,
        params: dict[str, Array],
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Array]:
        """a' = s ⊙ a."""
        return a * params["s"][None].astype(a.dtype), state, a

    def backward(
        self,
        params: dict[str, Array],
        residual: Array,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, dict[str, PerExample]]:
        """∇s = a ⊙ ∇a' and ∇a = s ⊙ ∇a', for da' = ds ⊙ a + s ⊙ da."""
        records = {"s": PerExample(residual.astype(grad_a_next.dtype) * grad_a_next)}
        if not need_grad_a:
            return None, records
        return grad_a_next * params["s"][None].astype(grad_a_next.dtype), records


@dataclass(frozen=True)
class NTKScale(Layer):
    """a' = a/√I, I the width: the NTK parametrization of the next dense layer.

    z = Wᵀa/√I + b with W ~ N(0, 1) (Jacot 2018, §3; Holzmüller 2024 for tables): every weight moves
    by steps of one size, whatever the width. `Dense(…, initializer="standard_normal")` follows.
    """

    def __str__(self) -> str:
        return "NTKScale"

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N J"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, None]:
        """a' = a/√I."""
        return a / math.sqrt(a.shape[1]), state, None

    def backward(
        self,
        params: Params,
        residual: None,
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """∇a = ∇a'/√I, for a' is a multiple of a."""
        return grad_a_next / math.sqrt(grad_a_next.shape[1]), {}


@dataclass(frozen=True)
class PiecewiseLinear(Layer):
    """Encode x by its position in each of T bins: 0 below a bin, 1 above it, linear within.

    (N, G) → (N, G·T): e_t = (x − edge_t)/(edge_{t+1} − edge_t), clipped at 0 except in the first
    bin and at 1 except in the last. Gorishniy 2022, eq. 1. Features with fewer bins than T have
    constant zeros in the remaining places. No parameters.

    Args:
        edges: edges of the bins of each feature, increasing.
    """

    edges: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for edges in self.edges:
            if len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise InputError(f"Bins need at least 2 edges in increasing order, not {edges}.")

    def __str__(self) -> str:
        return f"PiecewiseLinear({len(self.edges)} × {self.n_bins})"

    @property
    def n_bins(self) -> int:
        """T, the largest number of bins."""
        return max((len(edges) - 1 for edges in self.edges), default=0)

    def width_out(self, n_in: int) -> int:
        """T per feature; InputError unless there are edges for each."""
        if n_in != len(self.edges):
            raise InputError(f"Bins of {len(self.edges)} features cannot take {n_in} inputs.")
        return n_in * self.n_bins

    def table(self, dtype: DTypeLike) -> tuple[Array, ...]:
        """(start, 1/width, lowest, highest) of each bin, (1, G, T) each; 1/width 0 for none."""
        G, T = len(self.edges), self.n_bins
        start, rate = np.zeros((G, T)), np.zeros((G, T))
        low, high = np.zeros((G, T)), np.ones((G, T))
        for g, edges in enumerate(self.edges):
            n = len(edges) - 1
            start[g, :n], rate[g, :n] = edges[:-1], 1 / np.diff(edges)
            low[g, 0], high[g, n - 1] = -np.inf, np.inf
        return tuple(jnp.asarray(table[None], dtype) for table in (start, rate, low, high))

    def forward(
        self,
        params: Params,
        state: State,
        a: Float[Array, "N G"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, State, Bool[Array, "N G T"]]:
        """e = clip((x − start)/width); the residual marks the values within their bin."""
        start, rate, low, high = self.table(a.dtype)
        progress = (a[:, :, None] - start) * rate
        inside = (progress > low) & (progress < high)
        return jnp.clip(progress, low, high).reshape(a.shape[0], -1), state, inside

    def backward(
        self,
        params: Params,
        residual: Bool[Array, "N G T"],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array, dict[str, Records]]:
        """∇x = Σ_t ∇e_t/width_t over the bins that x lies within."""
        _, rate, _, _ = self.table(grad_a_next.dtype)
        grad_e = grad_a_next.reshape(residual.shape)
        return jnp.sum(jnp.where(residual, grad_e * rate, jnp.zeros_like(grad_e)), axis=2), {}
