"""Terminal output of an inspection: layers, number of suspect labels, most suspicious rows."""

import io
from collections.abc import Sequence

import numpy as np

from mlp_jax.model.examples import suspects_first
from mlp_jax.reports.inspect.findings import Findings
from mlp_jax.reports.inspect.layers import LayerDiagnostics, NetworkDiagnostics

_WIDTH = 110


def layers_table(diagnostics: NetworkDiagnostics) -> str:
    """Format the layers, one per line, with the noise scale of the whole gradient below."""
    heads = ("layer", "dead units", "saturated", "‖a‖", "‖∇z‖", "‖W‖", "signal / noise")
    table = _grid(heads, [_layer_cells(layer) for layer in diagnostics.layers], left=1)
    scale = diagnostics.noise_scale
    said = f"{scale:,.0f} rows" if np.isfinite(scale) else "infinite, noise dominates"
    return (
        f"{table}\n  over {diagnostics.n_rows:,} rows in inference mode; norms are root mean"
        f" squares over the rows.\n  gradient noise scale: {said}"
    )


def _layer_cells(layer: LayerDiagnostics) -> tuple[str, ...]:
    dead = "" if layer.dead is None else f"{layer.dead} of {layer.units}"
    saturated = "" if layer.saturated is None else f"{layer.saturated:.1%}"
    rest = (layer.a, layer.grad_z, layer.weight, layer.signal_to_noise)
    return (layer.layer, dead, saturated, *("" if v is None else f"{v:.3g}" for v in rest))


def suspects_table(findings: Findings, by: str, most: int) -> str:
    """Format the most suspicious rows, one per line."""
    chosen = suspects_first(findings.examples, by)[:most]
    several = len(set(findings.part.tolist())) > 1
    shares = not bool(np.isnan(findings.p).all())
    heads = [
        "row", *(["part"] if several else []), "label", "predicted",
        *(["P(label)"] if shares else []), "loss", "‖gradient‖", "influence",
    ]  # fmt: skip
    lines = []
    for place in chosen:
        measures = [values[place] for values in findings.examples[1:]]
        lines.append(
            [
                str(findings.row[place]),
                *([str(findings.part[place])] if several else []),
                _text(findings.label[place]),
                _text(findings.predicted[place]),
                *([f"{findings.p[place]:.2g}"] if shares else []),
                *(f"{value:.3g}" for value in measures),
            ]
        )
    return _grid(heads, lines, left=0, words=("part", "label", "predicted"))


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else f"{value:.6g}"


def _grid(
    heads: Sequence[str], lines: Sequence[Sequence[str]], left: int, words: Sequence[str] = ()
) -> str:
    """Format a table; the first `left` columns and those of text are left-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, show_edge=False)
    for place, head in enumerate(heads):
        grid.add_column(head, justify="left" if place < left or head in words else "right")
    for line in lines:
        grid.add_row(*map(Text, line))
    text = io.StringIO()
    Console(file=text, width=_WIDTH).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
