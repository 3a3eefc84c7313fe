"""Derivation of a given network: for each layer its equations, with shapes, cost and agreement."""

from typing import NamedTuple

import jax

from mlp_jax.backprop import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Beside,
    Categories,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
    RMSNorm,
    Sequential,
    get_loss,
)
from mlp_jax.proof.check import check_gradients, layer_label
from mlp_jax.proof.explain_tables import table_lines
from mlp_jax.proof.observe import Path
from mlp_jax.proof.oracles import (
    BIAS,
    EQUATION_1,
    EQUATION_2,
    EQUATION_3,
    FORWARD,
    INPUT,
    LOOK_UP,
    OUTPUT,
    SEED,
    parameter_equation,
)
from mlp_jax.proof.report import Report
from mlp_jax.proof.trial import Trial

INTRODUCTION = """\
One example is a column: z = Wᵀa + b, a' = f(z). ∇v is ∂E/∂v, in the shape of v. A change moves the
loss by dE = ⟨∇z, dz⟩, and the adjoint of the map that carried the change carries the gradient back:
f acts element by element, hence ⊙; a ↦ Wᵀa is a matrix, hence its transpose; W ↦ Wᵀa takes a matrix
to a vector, hence an outer product. A batch has one example a row (N rows), so the factors trade
sides: ∇A = ∇Z Wᵀ, ∇W = Aᵀ(c ⊙ ∇Z), with cₙ the weight of example n in E = Σ cₙ Eₙ."""
_FLOAT = 4


class Equation(NamedTuple):
    """One equation: its name in the report, its form for a column and for a batch, and its cost."""

    name: str
    column: str
    batch: tuple[str, ...] = ()
    multiply_adds: int = 0


class Block(NamedTuple):
    """Equations of a layer, and the bytes that it stores for the backward pass."""

    equations: tuple[Equation, ...]
    kept: int
    keeps: str


def dense_block(layer: Dense, n_in: int, batch: int) -> Block:
    """Return the five equations of a dense layer with its shapes."""
    i, j = n_in, layer.n_out
    product, name = i * j, layer.activation
    keeps = ACTIVATIONS[name].keeps
    slope = {"a": "f' from a'", "z": "f' from z", "nothing": "f' = 1"}[keeps]
    equations = (
        Equation(
            FORWARD,
            f"z ({j}) = Wᵀ ({j}×{i}) a ({i}) + b ({j})",
            (f"Z (N×{j}) = A (N×{i}) W ({i}×{j}) + 1bᵀ", f"a' ({j}) = f(z), f = {name}"),
            product,
        ),
        Equation(EQUATION_1, f"∇z ({j}) = ∇a' ({j}) ⊙ f'(z) ({j}); {slope}", (), j),
        Equation(
            EQUATION_2,
            f"∇a ({i}) = W ({i}×{j}) ∇z ({j})",
            (f"∇A (N×{i}) = ∇Z (N×{j}) Wᵀ ({j}×{i})",),
            product,
        ),
        Equation(
            EQUATION_3,
            f"∇W ({i}×{j}) = a ({i}×1) ∇zᵀ (1×{j})",
            (f"∇W ({i}×{j}) = Aᵀ ({i}×N) (c ⊙ ∇Z) (N×{j})",),
            product,
        ),
        Equation(BIAS, f"∇b ({j}) = ∇z ({j})", (f"∇b ({j}) = (c ⊙ ∇Z)ᵀ ({j}×N) 1 (N)",)),
    )
    kept = batch * (i + (j if keeps == "z" else 0)) * _FLOAT
    beside = {"z": f" and z (N×{j})", "a": ", and a', which the next layer keeps", "nothing": ""}
    return Block(equations, kept, f"a (N×{i}){beside[keeps]}")


def categories_block(layer: Categories, batch: int) -> Block:
    """Return the equations of a layer of categories: a look-up or a one-hot vector each."""
    i = layer.n_numeric
    equations = [
        Equation(
            LOOK_UP,
            f"a' ({layer.width_out(i + len(layer.codes))}) = numbers ({i}), then Eᵀ1ₖ or 1ₖ of"
            " each category",
        ),
        Equation(INPUT, f"∇a of the numbers ({i}) = their ∇a', of a code 0"),
    ]
    for j, (k, d) in enumerate(zip(layer.codes, layer.widths, strict=True)):
        if d:
            equations.append(
                Equation(
                    parameter_equation(f"embedding_{j}"),
                    f"∇E{j} ({k}×{d}) = 1ₖ ({k}×1) ∇eᵀ (1×{d})",
                    (f"row k of ∇E{j} = Σ c ∇e over the examples with code k",),
                    d,
                )
            )
    kept = batch * len(layer.codes) * _FLOAT
    return Block(tuple(equations), kept, f"the codes (N×{len(layer.codes)})")


_NORM_LINES = {
    LayerNorm: "∇a = (ĝ − ⟨ĝ⟩ − x̂⟨ĝ ⊙ x̂⟩)/σ, ĝ = γ ⊙ ∇y, ⟨·⟩ over the features",
    RMSNorm: "∇a = (ĝ − x̂⟨ĝ ⊙ x̂⟩)/σ, ĝ = γ ⊙ ∇y, ⟨·⟩ over the features",
    BatchNorm: "∇a = (ĝ − ⟨ĝ⟩ − x̂⟨ĝ ⊙ x̂⟩)/σ, ĝ = γ ⊙ ∇y, ⟨·⟩ over the examples",
}


def block_of(layer: Layer, n_in: int, batch: int) -> Block:
    """Return the equations of a layer; of an unknown one only its agreement is shown."""
    j, row = n_in, batch * n_in * _FLOAT
    if isinstance(layer, Dense):
        return dense_block(layer, n_in, batch)
    if isinstance(layer, Categories):
        return categories_block(layer, batch)
    if isinstance(layer, Activation):
        line = f"∇z ({j}) = ∇a' ({j}) ⊙ f'(z) ({j}); f = {layer.name}"
        kept = 0 if ACTIVATIONS[layer.name].keeps == "nothing" else row
        return Block((Equation(EQUATION_1, line, (), j),), kept, f"N×{j} for f'")
    if isinstance(layer, Dropout):
        line = f"∇a ({j}) = m ({j}) ⊙ ∇a' ({j}) / {1 - layer.rate:g}; m: the forward mask"
        equation = Equation(INPUT, line, (), j)
        return Block((equation,), batch * n_in, f"m (N×{j}), a byte each")
    if isinstance(layer, Residual):
        line = "∇a = ∇a' + ∇a of the body, for a' = a + F(a)"
        return Block((Equation(INPUT, line),), 0, "nothing")
    for kind, line in _NORM_LINES.items():
        if isinstance(layer, kind):
            scale = Equation(parameter_equation("scale"), f"∇γ ({j}) = x̂ ({j}) ⊙ ∇y ({j})", (), j)
            equations = [Equation(INPUT, line, (), 4 * j), scale]
            if kind is not RMSNorm:
                equations.append(Equation(parameter_equation("shift"), f"∇β ({j}) = ∇y ({j})"))
            return Block(tuple(equations), row, f"x̂ (N×{j}) and 1/σ")
    told = table_lines(layer, n_in)
    if told is None:
        return Block((), 0, "the residual of its forward pass")
    lines, kept, what = told
    equations = [Equation(name, text, (), cost) for name, text, cost in lines]
    return Block(tuple(equations), batch * kept * _FLOAT, what)


def placed_layers(network: Layer, n_in: int, path: Path = ()) -> list[tuple[Path, Layer, int]]:
    """List every simple and every residual layer, in order, with the width of its input."""
    found: list[tuple[Path, Layer, int]] = []
    if not isinstance(network, Sequential):
        found.append((path, network, n_in))
    if isinstance(network, Beside):
        n_in = network.n_first
    for index, layer in enumerate(network.children):
        found += placed_layers(layer, n_in, (*path, index))
        if isinstance(network, Sequential):
            n_in = layer.width_out(n_in)
    return found


def _agreement(report: Report, layer: str, equation: str) -> str:
    """Format the worst error of an equation over its witnesses."""
    rows = [row for row in report.rows if (row.layer, row.equation) == (layer, equation)]
    if not rows:
        return ""
    return f"{max(row.error for row in rows):.0e}{'' if all(r.ok for r in rows) else ' ✗'}"


def _table(label: str, title: str, block: Block, report: Report, batch: int) -> str:
    """Format a layer's block: each equation for a column with cost and error, then for a batch."""
    width = max([len(title) - 10, *(len(equation.column) for equation in block.equations)])
    lines = [f"{title:<{width + 10}}{'multiply-adds':>15}{'error':>8}"]
    for equation in block.equations:
        cost = f"{equation.multiply_adds:,}" if equation.multiply_adds else ""
        error = _agreement(report, label, equation.name)
        heading = _HEADINGS.get(equation.name, "")
        lines.append(f"  {heading:<8}{equation.column:<{width}}{cost:>15}{error:>8}".rstrip())
        lines += [f"  {'':<8}{line}" for line in equation.batch]
    lines.append(f"  keeps   {block.keeps}: {_bytes(block.kept)} for {batch} examples")
    return "\n".join(lines)


_HEADINGS = {
    FORWARD: "forward",
    LOOK_UP: "forward",
    OUTPUT: "forward",
    EQUATION_1: "eq. 1",
    EQUATION_2: "eq. 2",
    EQUATION_3: "eq. 3",
    BIAS: "bias",
}


def _bytes(count: int) -> str:
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def explain(trial: Trial, batch_size: int = 128) -> str:
    """Return the text of `mlp-jax explain`: the derivation of a network with its measured check.

    Multiply-adds are per example, errors the worst over all witnesses in float64, bytes for a batch
    in float32.
    """
    network, loss = trial.network(), get_loss(trial.loss)
    params, state = network.init(jax.random.key(0), trial.n_in)
    batch = trial.batch(loss)
    report = check_gradients(network, loss, params, batch, state=state)
    texts, multiplied, kept = [INTRODUCTION], 0, 0
    for path, layer, width in placed_layers(network, trial.n_in):
        block = block_of(layer, width, batch_size)
        label = layer_label(network, path, "local")
        title = f"layer {label}: {width} → {layer.width_out(width)}"
        texts.append(_table(label, title, block, report, batch_size))
        multiplied += sum(equation.multiply_adds for equation in block.equations)
        kept += block.kept
    seed = _agreement(report, "loss", SEED)
    texts.append(
        f"loss {loss}\n  ∇s ({trial.outputs}) = ∂Eₙ/∂s, where the backward pass begins  {seed}"
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    worst = report.worst
    verdict = "all pass" if report.ok else f"NOT all pass: {report.fault}"
    texts.append(
        f"Total: {count:,} parameters, {multiplied:,} multiply-adds per example, "
        f"{_bytes(kept)} kept for {batch_size} examples.\n"
        f"{len(report.rows)} comparisons in float64, {verdict}; the error closest to its "
        f"bound is {worst.error:.1e} ({worst.layer}, {worst.equation})."
    )
    return "\n\n".join(texts)
