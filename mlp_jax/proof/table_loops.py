"""Witness 4 for the table layers: embeddings of numbers, blocks, members, learned activations.

Each layer's equations index by index, in float64 on the host, without JAX: one output, ∂E/∂a of one
input, and one parameter's gradient, summed over the weighted examples.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.backprop import Layer
from mlp_jax.backprop.blocks import BlockDense
from mlp_jax.backprop.members import MeanOfMembers, Members, SharedDense
from mlp_jax.backprop.numbers import Cosines, FeatureScale, NTKScale, Periodic, PiecewiseLinear
from mlp_jax.backprop.parametric import ParametricActivation
from mlp_jax.proof.observe import Seen
from mlp_jax.proof.registered import activation_scalars

Entry = Callable[..., float]


class Entries(NamedTuple):
    """One output a'[n, j], one ∇a[n, i], and one example's share of each parameter's gradient.

    of_parameter: name -> (n, *index) -> the term of example n in the gradient of that entry.
    """

    output: Entry
    grad_a: Entry
    of_parameter: dict[str, Entry]


def _periodic(layer: Periodic, seen: Seen) -> Entries:
    x, c, grad, K = seen.a, seen.params.get("c"), seen.grad_a_next, layer.frequencies

    def phase(n: int, g: int, k: int) -> float:
        return 2 * math.pi * float(c[g * K + k]) * float(x[n, g])

    def output(n: int, j: int) -> float:
        g, k = divmod(j, 2 * K)
        return math.cos(phase(n, g, k)) if k < K else math.sin(phase(n, g, k - K))

    def of_phase(n: int, g: int, k: int) -> float:
        of_cos, of_sin = float(grad[n, 2 * K * g + k]), float(grad[n, 2 * K * g + K + k])
        return math.cos(phase(n, g, k)) * of_sin - math.sin(phase(n, g, k)) * of_cos

    def grad_a(n: int, g: int) -> float:
        return sum(2 * math.pi * float(c[g * K + k]) * of_phase(n, g, k) for k in range(K))

    def of_c(n: int, p: int) -> float:
        return 2 * math.pi * float(x[n, p // K]) * of_phase(n, *divmod(p, K))

    return Entries(output, grad_a, {"c": of_c})


def _cosines(layer: Cosines, seen: Seen) -> Entries:
    x, w, start = seen.a, seen.params["w"], seen.params["phase"]
    grad, K = seen.grad_a_next, layer.frequencies

    def phase(n: int, p: int) -> float:
        return 2 * math.pi * float(w[p]) * float(x[n, p // K]) + float(start[p])

    def of_phase(n: int, p: int) -> float:
        return -math.sin(phase(n, p)) * float(grad[n, p])

    def grad_a(n: int, g: int) -> float:
        mine = range(g * K, (g + 1) * K)
        return sum(2 * math.pi * float(w[p]) * of_phase(n, p) for p in mine)

    def of_w(n: int, p: int) -> float:
        return 2 * math.pi * float(x[n, p // K]) * of_phase(n, p)

    return Entries(lambda n, p: math.cos(phase(n, p)), grad_a, {"w": of_w, "phase": of_phase})


def _scale(layer: FeatureScale, seen: Seen) -> Entries:
    a, s, grad = seen.a, seen.params["s"], seen.grad_a_next
    return Entries(
        lambda n, j: float(s[j]) * float(a[n, j]),
        lambda n, j: float(s[j]) * float(grad[n, j]),
        {"s": lambda n, j: float(a[n, j]) * float(grad[n, j])},
    )


def _ntk(layer: NTKScale, seen: Seen) -> Entries:
    a, grad, root = seen.a, seen.grad_a_next, math.sqrt(seen.a.shape[1])
    return Entries(lambda n, j: float(a[n, j]) / root, lambda n, j: float(grad[n, j]) / root, {})


def _piecewise(layer: PiecewiseLinear, seen: Seen) -> Entries:
    x, grad, T = seen.a, seen.grad_a_next, layer.n_bins

    def progress(n: int, g: int, t: int) -> tuple[float, float]:
        """(e, its slope in x) of bin t; 0 and 0 if the feature has no such bin."""
        edges = layer.edges[g]
        if t >= len(edges) - 1:
            return 0.0, 0.0
        width = edges[t + 1] - edges[t]
        e = (float(x[n, g]) - edges[t]) / width
        if e <= 0 and t > 0:
            return 0.0, 0.0
        if e >= 1 and t < len(edges) - 2:
            return 1.0, 0.0
        return e, 1 / width

    return Entries(
        lambda n, j: progress(n, *divmod(j, T))[0],
        lambda n, g: sum(progress(n, g, t)[1] * float(grad[n, g * T + t]) for t in range(T)),
        {},
    )


def _blocks(layer: BlockDense, seen: Seen) -> Entries:
    a, W, b, grad = seen.a, seen.params["W"], seen.params["b"], seen.grad_a_next
    _, I, J = W.shape  # noqa: E741 - the letter of the mathematics
    f, slope = activation_scalars(layer.activation)

    @cache
    def z(n: int, p: int) -> float:
        g, j = divmod(p, J)
        return float(W[g, :, j] @ a[n, g * I : (g + 1) * I]) + float(b[p])

    def grad_z(n: int, p: int) -> float:
        return float(grad[n, p]) * slope(z(n, p))

    def grad_a(n: int, p: int) -> float:
        g, i = divmod(p, I)
        return sum(float(W[g, i, j]) * grad_z(n, g * J + j) for j in range(J))

    def of_W(n: int, g: int, i: int, j: int) -> float:
        return float(a[n, g * I + i]) * grad_z(n, g * J + j)

    return Entries(lambda n, p: f(z(n, p)), grad_a, {"W": of_W, "b": grad_z})


def _shared(layer: SharedDense, seen: Seen) -> Entries:
    a, grad = seen.a, seen.grad_a_next
    W, r, s, b = (seen.params[name] for name in ("W", "r", "s", "b"))
    (I, J), k = W.shape, layer.members  # noqa: E741 - the letter of the mathematics
    f, slope = activation_scalars(layer.activation)

    @cache
    def u(n: int, p: int) -> float:
        m, j = divmod(p, J)
        mine = slice(m * I, (m + 1) * I)
        return float(W[:, j] @ (r[mine] * a[n, mine]))

    @cache
    def grad_z(n: int, p: int) -> float:
        return float(grad[n, p]) * slope(float(s[p]) * u(n, p) + float(b[p]))

    def of_row(n: int, q: int) -> float:
        """(W∇u)_q."""
        m, i = divmod(q, I)
        outputs = range(m * J, (m + 1) * J)
        return sum(w * float(s[p]) * grad_z(n, p) for w, p in zip(W[i], outputs, strict=True))

    def of_W(n: int, i: int, j: int) -> float:
        return sum(
            float(r[m * I + i])
            * float(a[n, m * I + i])
            * float(s[m * J + j])
            * grad_z(n, m * J + j)
            for m in range(k)
        )

    return Entries(
        lambda n, p: f(float(s[p]) * u(n, p) + float(b[p])),
        lambda n, q: float(r[q]) * of_row(n, q),
        {
            "W": of_W,
            "r": lambda n, q: float(a[n, q]) * of_row(n, q),
            "s": lambda n, p: u(n, p) * grad_z(n, p),
            "b": grad_z,
        },
    )


def _members(layer: Members, seen: Seen) -> Entries:
    a, grad = seen.a, seen.grad_a_next
    width = a.shape[1]
    return Entries(
        lambda n, p: float(a[n, p % width]),
        lambda n, i: sum(float(grad[n, m * width + i]) for m in range(layer.members)),
        {},
    )


def _mean(layer: MeanOfMembers, seen: Seen) -> Entries | None:
    if not seen.train:
        return None
    return Entries(lambda n, j: float(seen.a[n, j]), lambda n, j: float(seen.grad_a_next[n, j]), {})


def _parametric(layer: ParametricActivation, seen: Seen) -> Entries:
    z, alpha, grad = seen.a, seen.params["alpha"], seen.grad_a_next
    f, slope = activation_scalars(layer.name)

    def output(n: int, j: int) -> float:
        return (1 - float(alpha[j])) * float(z[n, j]) + float(alpha[j]) * f(float(z[n, j]))

    def grad_z(n: int, j: int) -> float:
        mixed = 1 - float(alpha[j]) + float(alpha[j]) * slope(float(z[n, j]))
        return float(grad[n, j]) * mixed

    def of_alpha(n: int, j: int) -> float:
        return float(grad[n, j]) * (f(float(z[n, j])) - float(z[n, j]))

    return Entries(output, grad_z, {"alpha": of_alpha})


_ENTRIES: dict[type[Layer], Callable[[Any, Seen], Entries | None]] = {
    Periodic: _periodic,
    Cosines: _cosines,
    FeatureScale: _scale,
    NTKScale: _ntk,
    PiecewiseLinear: _piecewise,
    BlockDense: _blocks,
    SharedDense: _shared,
    Members: _members,
    MeanOfMembers: _mean,
    ParametricActivation: _parametric,
}


def entries_of(layer: Layer, seen: Seen) -> Entries | None:
    """Return the scalar equations of a layer at its recorded values; None for any other layer."""
    arrays = seen.params, np.asarray(seen.a, float), np.asarray(seen.grad_a_next, float)
    wide = Seen(
        params=arrays[0],
        state=None,
        a=arrays[1],
        key=None,
        mask=seen.mask,
        train=seen.train,
        a_next=seen.a_next,
        grad_a_next=arrays[2],
    )
    for kind, entries in _ENTRIES.items():
        if isinstance(layer, kind):
            return entries(layer, wide)
    return None
