"""Witness 4: sampled entries of each layer against the index equations of `reference.py`.

Runs on the host on the values of one observed pass (NumPy float64).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.backprop import BatchNorm, Categories, Dense, Layer, LayerNorm, Loss, RMSNorm
from mlp_jax.backprop.dense import Activation
from mlp_jax.backprop.specification import Params
from mlp_jax.proof import reference
from mlp_jax.proof.compare import Comparison
from mlp_jax.proof.observe import Path, Seen, at
from mlp_jax.proof.oracles import (
    ACTIVATE,
    BIAS,
    EQUATION_1,
    EQUATION_2,
    EQUATION_3,
    FORWARD,
    INPUT,
    LOOK_UP,
    NORM,
    OUTPUT,
    SEED,
    parameter_equation,
)
from mlp_jax.proof.registered import activation_scalars, loss_scalars
from mlp_jax.proof.table_loops import Entries, entries_of

SAMPLES = 6


class Sampled(NamedTuple):
    """Sampled entries of ours, the same by loops, and the size of the sums over absolute values."""

    ours: np.ndarray
    expected: np.ndarray
    size: float


def _sampled(
    ours: np.ndarray,
    entry: Callable[..., float],
    absolute: Callable[..., float],
    shape: Sequence[int],
    rng: np.random.Generator,
    samples: int | None,
) -> Sampled:
    total = int(np.prod(shape))
    chosen = np.arange(total) if samples is None else rng.integers(0, total, samples)
    indices = [tuple(map(int, np.unravel_index(k, shape))) for k in chosen]
    return Sampled(
        np.array([ours[index] for index in indices], dtype=float),
        np.array([entry(*index) for index in indices]),
        float(np.linalg.norm([absolute(*index) for index in indices])),
    )


def dense_samples(
    layer: Dense, seen: Seen, grads: Params, c: np.ndarray, pick: Callable[..., Sampled]
) -> dict[str, Sampled]:
    """Forward, equations 1 to 3 and the bias of a dense layer."""
    W, a, delta = seen.params["W"], np.asarray(seen.a), seen.records["W"].delta
    b = seen.params.get("b", np.zeros(W.shape[1]))
    f, slope = activation_scalars(layer.activation)
    assert seen.grad_a_next is not None
    grad_next = np.asarray(seen.grad_a_next)
    abs_W, abs_a, abs_d, abs_c = np.abs(W), np.abs(a), np.abs(delta), np.abs(c)

    def z(n: int, j: int) -> float:
        return reference.z_entry(W, b, a, n, j)

    def size_z(n: int, j: int) -> float:
        return float(abs_a[n] @ abs_W[:, j] + abs(b[j]))

    def size_1(n: int, j: int) -> float:
        return abs(grad_next[n, j]) * max(1.0, abs(slope(z(n, j))))

    rows = {
        FORWARD: pick(seen.a_next, lambda n, j: f(z(n, j)), size_z, np.shape(seen.a_next)),
        EQUATION_1: pick(
            delta, lambda n, j: float(grad_next[n, j]) * slope(z(n, j)), size_1, delta.shape
        ),
        EQUATION_2: pick(
            seen.grad_a,
            lambda n, i: reference.grad_a_entry(W, delta, n, i),
            lambda n, i: float(abs_d[n] @ abs_W[i]),
            a.shape,
        ),
        EQUATION_3: pick(
            grads["W"],
            lambda i, j: reference.grad_W_entry(a, delta, c, i, j),
            lambda i, j: float(abs_c @ (abs_a[:, i] * abs_d[:, j])),
            W.shape,
        ),
    }
    if "b" in seen.params:
        rows[BIAS] = pick(
            grads["b"],
            lambda j: reference.grad_b_entry(delta, c, j),
            lambda j: float(abs_c @ abs_d[:, j]),
            b.shape,
        )
    return rows


def norm_samples(
    layer: LayerNorm | RMSNorm | BatchNorm, seen: Seen, pick: Callable[..., Sampled]
) -> dict[str, Sampled]:
    """Forward pass of a norm, and its ∇a by the explicit sum over its Jacobian."""
    a, scale, grad_y = np.asarray(seen.a), seen.params["scale"], np.asarray(seen.grad_a_next)
    y, grad_a = np.asarray(seen.a_next), np.asarray(seen.grad_a)
    shift = seen.params.get("shift", np.zeros_like(scale))
    options: Any = {"epsilon": layer.epsilon, "centred": not isinstance(layer, RMSNorm)}
    if isinstance(layer, BatchNorm):
        if not seen.train:
            return {}
        if seen.mask is not None:  # the batch is the rows that count
            rows = np.flatnonzero(seen.mask)
            a, y, grad_y, grad_a = a[rows], y[rows], grad_y[rows], grad_a[rows]

        def forward(n: int, j: int) -> float:
            return reference.norm_entry(a[:, j], n, scale[j], shift[j], **options)

        def entry(n: int, j: int) -> float:
            return reference.batch_norm_grad_a_entry(
                a[:, j], scale[j], grad_y[:, j], n, epsilon=layer.epsilon
            )
    else:

        def forward(n: int, j: int) -> float:
            return reference.norm_entry(a[n], j, scale[j], shift[j], **options)

        def entry(n: int, j: int) -> float:
            return reference.layer_norm_grad_a_entry(a[n], scale, grad_y[n], j, **options)

    spread = np.sqrt(layer.epsilon + np.var(a))
    reach = float(np.max(np.abs(grad_y)) * np.max(np.abs(scale)) / spread)
    size = float(np.max(np.abs(a)) * np.max(np.abs(scale)) / spread + np.max(np.abs(shift)))
    return {
        NORM: pick(y, forward, lambda n, j: size, a.shape),
        INPUT: pick(grad_a, entry, lambda n, j: reach, a.shape),
    }


def activation_samples(
    layer: Activation, seen: Seen, pick: Callable[..., Sampled]
) -> dict[str, Sampled]:
    """Forward and equation 1 of a separate activation layer."""
    f, slope = activation_scalars(layer.name)
    grad_y = np.asarray(seen.grad_a_next)
    return {
        ACTIVATE: pick(
            seen.a_next,
            lambda n, j: f(float(seen.a[n, j])),
            lambda n, j: abs(float(seen.a[n, j])),
            grad_y.shape,
        ),
        EQUATION_1: pick(
            seen.grad_a,
            lambda n, j: float(grad_y[n, j]) * slope(float(seen.a[n, j])),
            lambda n, j: abs(float(grad_y[n, j])),
            grad_y.shape,
        ),
    }


def categories_samples(
    layer: Categories, seen: Seen, grads: Params, c: np.ndarray, pick: Callable[..., Sampled]
) -> dict[str, Sampled]:
    """Forward pass of a layer of categories, its ∇a, and the gradient of each embedding."""
    a, grad_next = np.asarray(seen.a), np.asarray(seen.grad_a_next)
    n_numeric = layer.n_numeric
    tables = [
        seen.params[f"embedding_{j}"] if width else np.eye(layer.codes[j])
        for j, width in enumerate(layer.widths)
    ]
    starts = n_numeric + np.cumsum([0, *layer.block_widths])

    def output(n: int, i: int) -> float:
        if i < n_numeric:
            return float(a[n, i])
        j = int(np.searchsorted(starts, i, side="right")) - 1
        return reference.look_up_entry(tables[j], a[:, n_numeric + j], n, i - int(starts[j]))

    def size(n: int, i: int) -> float:
        return abs(output(n, i))

    rows = {
        LOOK_UP: pick(seen.a_next, output, size, grad_next.shape),
        INPUT: pick(
            seen.grad_a,
            lambda n, i: float(grad_next[n, i]) if i < n_numeric else 0.0,
            lambda n, i: abs(float(grad_next[n, min(i, n_numeric)])),
            a.shape,
        ),
    }
    for j, width in enumerate(layer.widths):
        name = f"embedding_{j}"
        if width:
            grad_e = grad_next[:, starts[j] : starts[j] + width]
            rows |= _embedding_samples(name, a[:, n_numeric + j], grad_e, grads[name], c, pick)
    return rows


def _embedding_samples(
    name: str,
    codes: np.ndarray,
    grad_e: np.ndarray,
    grad_E: Any,
    c: np.ndarray,
    pick: Callable[..., Sampled],
) -> dict[str, Sampled]:
    """Entries of ∇E in the rows that some example took; the others are empty sums."""
    taken = [int(code) - 1 for code in np.unique(codes[codes > 0])]
    if not taken:
        return {}
    sampled = pick(
        np.asarray(grad_E)[taken],
        lambda k, d: reference.grad_E_entry(codes, grad_e, c, taken[k], d),
        lambda k, d: reference.grad_E_entry(codes, np.abs(grad_e), np.abs(c), taken[k], d),
        (len(taken), grad_e.shape[1]),
    )
    return {parameter_equation(name): sampled}


def table_samples(
    entries: Entries, seen: Seen, grads: Params, c: np.ndarray, pick: Callable[..., Sampled]
) -> dict[str, Sampled]:
    """Forward, ∇a and the gradient of each parameter of a table layer."""
    a, a_next = np.asarray(seen.a), np.asarray(seen.a_next)
    height = float(np.max(np.abs(a_next)))
    reach = float(np.max(np.abs(np.asarray(seen.grad_a_next))))
    rows = {
        OUTPUT: pick(a_next, entries.output, lambda *_: height, a_next.shape),
        INPUT: pick(seen.grad_a, entries.grad_a, lambda *_: reach, a.shape),
    }
    for name, share in entries.of_parameter.items():

        def entry(*index: int, share: Any = share) -> float:
            return sum(float(c[n]) * share(n, *index) for n in range(len(c)))

        def size(*index: int, share: Any = share) -> float:
            return sum(abs(float(c[n]) * share(n, *index)) for n in range(len(c)))

        shape = np.shape(grads[name])
        rows[parameter_equation(name)] = pick(grads[name], entry, size, shape)
    return rows


def loss_samples(
    loss: Loss, root: Seen, y: np.ndarray, seed: np.ndarray, members: int = 1
) -> Sampled:
    """∂Eₙ/∂s_k of every output of the examples, seeded with c if the network couples them.

    members: number of predictions per example, side by side; each has weight 1/members.
    """
    outputs = np.asarray(root.a_next, dtype=float)
    apart = [_loss_slopes(loss, s, y, seed / members) for s in np.split(outputs, members, axis=1)]
    ours = np.asarray(root.grad_a_next, dtype=float)
    return Sampled(ours, np.concatenate(apart, axis=1), 0.0)


def _loss_slopes(loss: Loss, s: np.ndarray, y: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """seedₙ ∂Eₙ/∂s_k of one prediction of each example."""
    _, slope = loss_scalars(loss.name)
    labels = y.ndim == 1 and loss.function.targets == "classes" and s.shape[1] > 1
    expected = np.zeros_like(s)
    for n in range(len(s)):
        target: Any = int(y[n]) if labels else [float(v) for v in y[n].reshape(-1)]
        for k in range(s.shape[1]):
            outputs = [float(v) for v in s[n]]
            expected[n, k] = seed[n] * slope(outputs, target, k, **dict(loss.options))
    return expected


def loop_comparisons(
    loss: Loss,
    layers: list[tuple[Path, Layer]],
    log: dict[Path, Seen],
    grads: Params,
    y: np.ndarray,
    c: np.ndarray,
    coupled: bool,
    samples: int | None = SAMPLES,
) -> Iterator[Comparison]:
    """Compare witness 4 for the loss and every layer of the reference; samples=None: all entries.

    coupled: the tape includes c already, so the loss is seeded with c and equation 3 sums with 1.
    """
    rng = np.random.default_rng(0)
    root = log[()]
    members = next(layer for path, layer in layers if not path).n_predictions if root.train else 1
    ones = np.ones_like(c)

    def pick(ours: Any, entry: Any, absolute: Any, shape: Sequence[int]) -> Sampled:
        return _sampled(np.asarray(ours), entry, absolute, shape, rng, samples)

    yield Comparison((), SEED, *loss_samples(loss, log[()], y, c if coupled else ones, members))
    for path, layer in reversed(layers):
        seen = log[path]
        if seen.grad_a_next is None:
            continue
        found: dict[str, Sampled] = {}
        if isinstance(layer, Dense):
            found = dense_samples(layer, seen, at(grads, path), ones if coupled else c, pick)
        elif isinstance(layer, Categories):
            found = categories_samples(layer, seen, at(grads, path), ones if coupled else c, pick)
        elif isinstance(layer, (LayerNorm, RMSNorm, BatchNorm)):
            found = norm_samples(layer, seen, pick)
        elif isinstance(layer, Activation):
            found = activation_samples(layer, seen, pick)
        elif (entries := entries_of(layer, seen)) is not None:
            c_used = ones if coupled else c
            found = table_samples(entries, seen, at(grads, path), c_used, pick)
        for equation, sampled in found.items():
            yield Comparison(path, equation, *sampled)
