"""Terminal output of `mlp-jax bench gradients`: two tables."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlp_jax.bench.gradients.contenders import BY_HAND, BY_JAX, CUSTOM_VJP

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 150
_LEGEND = (
    "Every ratio is the hand-written gradient over jax.grad: below 1 the former costs less. Times"
    " are medians of\npairs with their quartiles; memory is the temporary memory of the compiled"
    " program;\nerrors are those of the worst parameter against float64."
)


def gradient_table(points: Sequence[Mapping[str, Any]], color: bool = False) -> str:
    """Table with a row per point: times, compile time, FLOPs, bytes, memory, and both errors."""
    titles = (
        "gradient",
        "Adam step",
        "custom_vjp",
        "compile",
        "FLOPs",
        "bytes",
        "memory",
        "error",
        "of jax.grad",
    )
    grid = _grid(("network", *titles))
    for point in points:
        errors = point["error_against_float64"]
        grid.add_row(
            point["network"],
            spread(point["gradient"]["ratio"][BY_HAND]),
            spread(point["adam_step"]["ratio"][BY_HAND]),
            spread(point["gradient"]["ratio"][CUSTOM_VJP], short=True),
            f"{compile_ratio(point):.2f}",
            _quotient(point["flops"]),
            _quotient(point["bytes_accessed"]),
            _quotient(point["temporary_bytes"]),
            f"{errors[BY_HAND]:.1e}",
            f"{errors[BY_JAX]:.1e}",
        )
    return f"{_printed(grid, color)}\n\n{_LEGEND}"


def memory_table(points: Sequence[Mapping[str, Any]], color: bool = False) -> str:
    """Table with a row per point: temporary memory of both gradients, in MB."""
    grid = _grid(("network", "by hand (MB)", "jax.grad (MB)", "ratio"))
    for point in points:
        kept = point["temporary_bytes"]
        grid.add_row(
            point["network"],
            f"{kept[BY_HAND] / 1e6:.1f}",
            f"{kept[BY_JAX] / 1e6:.1f}",
            f"{point['ratio']:.2f}",
        )
    return _printed(grid, color)


def spread(ratio: Mapping[str, float], short: bool = False) -> str:
    """ "0.97 (0.95–0.99)", or the median alone."""
    if short:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['quartile_1']:.2f}–{ratio['quartile_3']:.2f})"


def compile_ratio(point: Mapping[str, Any]) -> float:
    """Median compile time by hand over that of jax.grad."""
    seconds = point["compile_seconds"]
    return seconds[BY_HAND]["median"] / seconds[BY_JAX]["median"]


def _quotient(figures: Mapping[str, float | None]) -> str:
    ours, theirs = figures[BY_HAND], figures[BY_JAX]
    return "–" if ours is None or not theirs else f"{ours / theirs:.3f}"


def _grid(titles: Sequence[str]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_edge=False)
    grid.add_column(titles[0], no_wrap=True)
    for title in titles[1:]:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _printed(grid: "Table", color: bool) -> str:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=WIDTH, force_terminal=color, no_color=not color)
    console.print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
