"""Compare our values with the witnesses, on the host in NumPy.

A comparison is (ours, expected, scale): scale is the size that rounding is relative to, the same
contraction over absolute values, because a gradient may be 0 where its terms are not (a bias
directly before batch norm).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from mlp_jax.backprop import Dense, Layer, LookUp, OuterProduct, Sequential
from mlp_jax.backprop.beside import Beside
from mlp_jax.backprop.block_records import BlockProduct, SharedProduct
from mlp_jax.backprop.network import Residual
from mlp_jax.backprop.normalization import Norm
from mlp_jax.backprop.records import is_record
from mlp_jax.backprop.specification import Params, Records
from mlp_jax.proof import oracles
from mlp_jax.proof.observe import Path, Seen, at


class Comparison(NamedTuple):
    """Our value and the expected one; ours=None if it was never computed.

    An `ours` of another shape has an infinite error.
    """

    path: Path
    equation: str
    ours: np.ndarray | None
    expected: np.ndarray
    size: float = 0.0

    def error(self) -> tuple[float, float, float]:
        """(relative error, ours, expected where they differ most)."""
        expected = np.asarray(self.expected, np.float64)
        if self.ours is None or np.shape(self.ours) != expected.shape:
            return np.inf, np.nan, float(expected.flat[0])
        ours = np.asarray(self.ours, np.float64)
        away = np.abs(ours - expected)
        worst = int(np.argmax(away))
        difference = float(np.linalg.norm(away))
        size = max(float(np.linalg.norm(expected)), self.size)
        relative = difference / size if size else np.inf
        if difference == 0:
            relative = 0.0
        return relative, float(ours.flat[worst]), float(expected.flat[worst])


def _norm(values: Any) -> float:
    return float(np.linalg.norm(np.asarray(values, np.float64)))


def contraction_size(record: Any, c: np.ndarray | None) -> float:
    """‖Σₙ |cₙ| |gₙ|‖ for a record's per-example gradients gₙ."""
    n = len(record.index if isinstance(record, LookUp) else record[0])
    share = np.ones(n) if c is None else np.abs(c)
    if isinstance(record, LookUp):
        terms = share[:, None] * np.abs(np.asarray(record.delta, np.float64))
        rows = np.asarray(record.index)[None, :] == np.arange(1, record.n_rows + 1)[:, None]
        return _norm(rows @ terms)
    if isinstance(record, (SharedProduct, BlockProduct)):
        a, delta = (np.abs(np.asarray(part, np.float64)) for part in record)
        weighted = share[:, None, None] * delta
        if isinstance(record, SharedProduct):
            return _norm(np.tensordot(a, weighted, ((0, 1), (0, 1))))
        return _norm(np.matmul(a.transpose(1, 2, 0), weighted.transpose(1, 0, 2)))
    if isinstance(record, OuterProduct):
        a, delta = (np.abs(np.asarray(part, np.float64)) for part in record)
        return _norm(a.T @ (share[:, None] * delta))
    return _norm(share @ np.abs(np.asarray(record.g, np.float64)))


def _sizes(layer: Layer, seen: Seen, c: np.ndarray | None) -> dict[str, float]:
    """Scale of each equation of a simple layer."""
    assert seen.grad_a_next is not None
    sizes = {
        oracles.parameter_equation(name): contraction_size(record, c)
        for name, record in seen.records.items()
    }
    sizes[oracles.EQUATION_1] = _norm(seen.grad_a_next)
    if isinstance(layer, Dense):
        delta, W = (
            np.abs(np.asarray(v, np.float64)) for v in (seen.records["W"].delta, seen.params["W"])
        )
        sizes[oracles.EQUATION_2] = _norm(delta @ W.T)
    if isinstance(layer, Norm):
        wide = np.asarray(seen.a, np.float64)
        g_hat = np.abs(seen.params["scale"]) * np.abs(seen.grad_a_next)
        sizes[oracles.INPUT] = _norm(g_hat) / float(np.sqrt(np.var(wide) + layer.epsilon))
    return sizes


def _ours(layer: Layer, seen: Seen, grads: Params, equation: str) -> np.ndarray:
    """Our value of an equation of a simple layer."""
    for name in grads:
        if equation == oracles.parameter_equation(name):
            return grads[name]
    if isinstance(layer, Dense) and equation == oracles.EQUATION_1:
        return seen.records["W"].delta
    assert seen.grad_a is not None
    return np.asarray(seen.grad_a)


def local_comparisons(
    layers: list[tuple[Path, Layer]],
    log: dict[Path, Seen],
    expected: dict[Path, dict[str, np.ndarray]],
    grads: Params,
    c: np.ndarray | None,
) -> Iterator[Comparison]:
    """Compare witness 1 for every layer, from the loss down, and the links between layers."""
    for path, layer in reversed(layers):
        seen = log[path]
        if seen.grad_a_next is None:
            yield Comparison(
                path=path, equation=oracles.CHAIN, ours=None, expected=np.asarray(seen.a_next)
            )
            continue
        if isinstance(layer, Sequential):
            yield from _links(path, layer, log)
        elif isinstance(layer, Residual):
            yield from _branches(path, layer, log)
        elif isinstance(layer, Beside):
            yield from _beside(path, layer, log)
        else:
            sizes, own = _sizes(layer, seen, c), at(grads, path)
            for equation, value in expected[path].items():
                ours = _ours(layer, seen, own, equation)
                yield Comparison(
                    path=path,
                    equation=equation,
                    ours=ours,
                    expected=value,
                    size=sizes.get(equation, 0.0),
                )


def _links(path: Path, layer: Sequential, log: dict[Path, Seen]) -> Iterator[Comparison]:
    """Compare the ∇a' that reaches each layer with the ∇a of the layer after it."""
    after: Any = log[path].grad_a_next
    for index in reversed(range(len(layer.layers))):
        seen = log[(*path, index)]
        if seen.grad_a_next is not None and after is not None:
            yield Comparison(
                path=(*path, index),
                equation=oracles.CHAIN,
                ours=np.asarray(seen.grad_a_next),
                expected=after,
            )
            after = seen.grad_a


def _branches(path: Path, layer: Residual, log: dict[Path, Seen]) -> Iterator[Comparison]:
    """Compare ∇a of a residual layer with the sum over its branches; each received ∇a'."""
    seen, body = log[path], log[(*path, 0)]
    beside: Any = seen.grad_a_next if layer.shortcut is None else log[(*path, 1)].grad_a
    expected = beside if body.grad_a is None else np.asarray(body.grad_a) + np.asarray(beside)
    ours = None if body.grad_a is None else np.asarray(seen.grad_a)
    yield Comparison(path=path, equation=oracles.INPUT, ours=ours, expected=expected)
    for index in range(len(layer.children)):
        given = log[(*path, index)].grad_a_next
        if given is not None:
            yield Comparison(
                path=(*path, index),
                equation=oracles.CHAIN,
                ours=np.asarray(given),
                expected=seen.grad_a_next,
            )


def _beside(path: Path, layer: Beside, log: dict[Path, Seen]) -> Iterator[Comparison]:
    """Compare the body's columns of ∇a' and ∇a, and the others, which pass unchanged."""
    seen, body = log[path], log[(*path, 0)]
    arrived = np.asarray(seen.grad_a_next)
    width = np.shape(body.a_next)[1]
    expected = np.zeros(np.shape(seen.a), arrived.dtype)
    expected[:, layer.passed_from :] = arrived[:, width:]
    if body.grad_a is not None:
        expected[:, : layer.n_first] += np.asarray(body.grad_a)
    yield Comparison(
        path=path, equation=oracles.INPUT, ours=np.asarray(seen.grad_a), expected=expected
    )
    if body.grad_a_next is not None:
        given = np.asarray(body.grad_a_next)
        yield Comparison(
            path=(*path, 0), equation=oracles.CHAIN, ours=given, expected=arrived[:, :width]
        )


def whole_comparisons(
    expected: Params, grads: Params, records: Records, c: np.ndarray | None
) -> Iterator[Comparison]:
    """Compare witness 2 per parameter, under the name of its equation."""
    sizes = jax.tree.leaves(
        jax.tree.map(lambda record: contraction_size(record, c), records, is_leaf=is_record)
    )
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (keys, value), ours, size in zip(leaves, jax.tree.leaves(grads), sizes, strict=True):
        path = tuple(key.idx for key in keys[:-1])
        yield Comparison(
            path=path,
            equation=oracles.parameter_equation(keys[-1].key),
            ours=ours,
            expected=value,
            size=size,
        )


def statistic_comparisons(
    layers: list[tuple[Path, Layer]], ours: tuple[Any, Any], expected: tuple[Any, Any]
) -> Iterator[Comparison]:
    """Compare per-example statistics, a layer's parameters side by side, from the loss down."""
    simple = [path for path, layer in reversed(layers) if not layer.children]
    for equation, mine, theirs in zip(
        (oracles.EXAMPLE_NORMS, oracles.SECOND_MOMENT), ours, expected, strict=True
    ):
        for path in simple:
            if jax.tree.leaves(at(theirs, path)):
                yield Comparison(
                    path=path,
                    equation=equation,
                    ours=_flat(at(mine, path)),
                    expected=_flat(at(theirs, path)),
                )


def _flat(tree: Params) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def difference_comparisons(
    slopes: np.ndarray, grads: Params, directions: Any
) -> Iterator[Comparison]:
    """Compare witness 3: slopes (D, H) against ⟨∇E, v⟩ over ‖∇E‖‖v‖, ‖v‖ = 1.

    For each v the better of the steps is used: where one of them crosses a kink, another does not.
    """
    leaves = [np.asarray(g, np.float64) for g in jax.tree.leaves(grads)]
    norm = float(np.sqrt(sum(np.sum(g**2) for g in leaves)))
    for number, row in enumerate(np.asarray(slopes)):
        pairs = zip(leaves, jax.tree.leaves(directions), strict=True)
        slope = sum(float(np.sum(g * v[number])) for g, v in pairs)
        best = row[np.argmin(np.abs(row - slope))]
        name = f"⟨∇E, v⟩, direction {number + 1}"
        yield Comparison(
            path=(), equation=name, ours=np.array([slope]), expected=np.array([best]), size=norm
        )
