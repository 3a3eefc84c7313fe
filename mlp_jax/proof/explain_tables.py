"""Equations of the table layers for `explain`: embeddings, blocks, members."""

from collections.abc import Callable
from typing import Any

from mlp_jax.backprop import (
    Beside,
    BlockDense,
    Cosines,
    FeatureScale,
    Layer,
    MeanOfMembers,
    Members,
    NTKScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    SharedDense,
)
from mlp_jax.proof.oracles import BIAS, EQUATION_3, INPUT, OUTPUT, parameter_equation

Line = tuple[str, str, int]  # the equation's name, how it reads, its multiply-adds


def _periodic(layer: Periodic, i: int) -> list[Line]:
    k = i * layer.frequencies
    return [
        (OUTPUT, f"φ ({k}) = 2π c x, a' ({2 * k}) = (cos φ, sin φ)", k),
        (INPUT, f"∇φ ({k}) = cos φ ⊙ ∇sin − sin φ ⊙ ∇cos, ∇x ({i}) = Σₖ 2π cₖ ∇φₖ", 3 * k),
        (parameter_equation("c"), f"∇c ({k}) = 2π x ⊙ ∇φ", k),
    ]


def _cosines(layer: Cosines, i: int) -> list[Line]:
    k = i * layer.frequencies
    return [
        (OUTPUT, f"φ ({k}) = 2π w x + β, a' ({k}) = cos φ", k),
        (INPUT, f"∇φ ({k}) = −sin φ ⊙ ∇a', ∇x ({i}) = Σₖ 2π wₖ ∇φₖ", 2 * k),
        (parameter_equation("w"), f"∇w ({k}) = 2π x ⊙ ∇φ", k),
        (parameter_equation("phase"), f"∇β ({k}) = ∇φ", 0),
    ]


def _bins(layer: PiecewiseLinear, i: int) -> list[Line]:
    t = i * layer.n_bins
    return [
        (OUTPUT, f"a' ({t}) = clip((x − start)/width), {layer.n_bins} bins of each number", t),
        (INPUT, f"∇x ({i}) = Σ ∇a'/width over the bins that x lies within", t),
    ]


def _blocks(layer: BlockDense, n: int) -> list[Line]:
    g, i, j = layer.n_blocks, n // layer.n_blocks, layer.n_out
    cost = g * i * j
    return [
        (OUTPUT, f"zg ({j}) = Wgᵀ ({j}×{i}) ag ({i}) + bg, each of {g} blocks; f of it", cost),
        (INPUT, f"∇ag ({i}) = Wg ({i}×{j}) ∇zg ({j})", cost),
        (EQUATION_3, f"∇Wg ({i}×{j}) = ag ({i}×1) ∇zgᵀ (1×{j})", cost),
        (BIAS, f"∇b ({g * j}) = ∇z ({g * j})", 0),
    ]


def _shared(layer: SharedDense, n: int) -> list[Line]:
    k, i, j = layer.members, n // layer.members, layer.n_out
    cost = k * i * j
    return [
        (OUTPUT, f"u ({j}) = Wᵀ ({j}×{i}) (r ⊙ a) ({i}), a' = f(s ⊙ u + b), {k} members", cost),
        (INPUT, f"∇u ({j}) = s ⊙ ∇z, ∇a ({i}) = r ⊙ W∇u", cost),
        (EQUATION_3, f"∇W ({i}×{j}) = Σ (r ⊙ a) ∇uᵀ over the {k} members", cost),
        (parameter_equation("r"), f"∇r ({k * i}) = a ⊙ W∇u", k * i),
        (parameter_equation("s"), f"∇s ({k * j}) = u ⊙ ∇z", k * j),
        (BIAS, f"∇b ({k * j}) = ∇z", 0),
    ]


def _parametric(layer: ParametricActivation, j: int) -> list[Line]:
    return [
        (OUTPUT, f"a' ({j}) = (1 − α) ⊙ z + α ⊙ f(z), f = {layer.name}", j),
        (INPUT, f"∇z ({j}) = ∇a' ⊙ (1 + α ⊙ (f'(z) − 1))", j),
        (parameter_equation("alpha"), f"∇α ({j}) = ∇a' ⊙ (f(z) − z)", j),
    ]


def _scale(layer: FeatureScale, j: int) -> list[Line]:
    return [
        (OUTPUT, f"a' ({j}) = s ⊙ a", j),
        (INPUT, f"∇a ({j}) = s ⊙ ∇a'", j),
        (parameter_equation("s"), f"∇s ({j}) = a ⊙ ∇a'", j),
    ]


LINES: dict[type[Layer], Callable[[Any, int], list[Line]]] = {
    Periodic: _periodic,
    Cosines: _cosines,
    PiecewiseLinear: _bins,
    BlockDense: _blocks,
    SharedDense: _shared,
    ParametricActivation: _parametric,
    FeatureScale: _scale,
    NTKScale: lambda layer, j: [
        (OUTPUT, f"a' ({j}) = a/√{j}", j), (INPUT, f"∇a ({j}) = ∇a'/√{j}", j),
    ],
    Members: lambda layer, i: [
        (OUTPUT, f"a' ({layer.members * i}) = a, {layer.members} times", 0),
        (INPUT, f"∇a ({i}) = Σ ∇a' over the members", layer.members * i),
    ],
    MeanOfMembers: lambda layer, i: [
        (OUTPUT, f"a' ({i}) = a in training: {layer.members} predictions; their mean after it", 0),
        (INPUT, f"∇a ({i}) = ∇a' in training", 0),
    ],
    Beside: lambda layer, i: [
        (INPUT, f"∇a ({i}) = ∇a of the body ({layer.n_first}), and ∇a' of what is passed on", 0),
    ],
}  # fmt: skip
KEPT: dict[type[Layer], tuple[Callable[[Any, int], int], str]] = {
    Periodic: (lambda layer, i: i * (1 + 2 * layer.frequencies), "x and its waves"),
    Cosines: (lambda layer, i: i * (1 + layer.frequencies), "x and φ"),
    PiecewiseLinear: (lambda layer, i: i * layer.n_bins // 4, "the bins that x is in, a byte each"),
    BlockDense: (lambda layer, i: i, "a"),
    SharedDense: (lambda layer, i: i + layer.members * layer.n_out, "a and u"),
    ParametricActivation: (lambda layer, i: i, "z"),
    FeatureScale: (lambda layer, i: i, "a"),
}


def table_lines(layer: Layer, n_in: int) -> tuple[list[Line], int, str] | None:
    """Return (equations, numbers stored per example, their meaning); None for another layer."""
    for kind, lines in LINES.items():
        if isinstance(layer, kind):
            count, what = KEPT.get(kind, (lambda layer, i: 0, "nothing"))
            return lines(layer, n_in), count(layer, n_in), what
    return None
