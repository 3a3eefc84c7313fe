"""Pictures of `mlp-jax bench gradients`: the ratio over size, the memory over depth.

The colours of Okabe & Ito (2008) are distinct in any colour vision; markers and dashes repeat the
distinction.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.bench.gradients.contenders import BY_HAND, BY_JAX
from mlp_jax.charts.figures import FRAME, level_lines, new_figure, row_of_axes, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dv<>"
RATIOS, MEMORY = "gradient_ratio.png", "gradient_memory.png"


def draw_ratios(points: Sequence[Mapping[str, Any]], path: Path, machine: str) -> None:
    """Draw the time ratio to jax.grad over FLOPs per call: the gradient and a whole step."""
    figure = new_figure(10.4, 4.4)
    kinds = list(dict.fromkeys((p["activation"], p["precision"]) for p in points))
    panels = (("gradient", "the gradient alone"), ("adam_step", "a whole step of Adam"))
    axes_row = row_of_axes(figure, len(panels))
    for axes, (part, title) in zip(axes_row, panels, strict=True):
        axes.axhline(1, color=FRAME, linewidth=0.9, linestyle="--")
        for number, kind in enumerate(kinds):
            chosen = [p for p in points if (p["activation"], p["precision"]) == kind]
            _ratio_marks(axes, chosen, part, number, ", ".join(kind))
        axes.set_xscale("log")
        axes.set(title=title, xlabel="size: floating-point operations of one gradient (jax.grad)")
        level_lines(axes)
    low, high = axes_row[0].get_ylim()
    low_2, high_2 = axes_row[1].get_ylim()
    for axes in axes_row:
        axes.set_ylim(min(low, low_2), max(high, high_2))
    axes_row[0].set_ylabel("time by hand / time by jax.grad\n(median of pairs, quartiles)")
    axes_row[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Below 1 the hand-written gradient is faster. {machine}", fontsize=9)
    save(figure, path)


def _ratio_marks(
    axes: "Axes", points: Sequence[Mapping[str, Any]], part: str, number: int, label: str
) -> None:
    sizes = np.array([p["flops"][BY_JAX] or np.nan for p in points])
    ratios = [p[part]["ratio"][BY_HAND] for p in points]
    middle = np.array([r["median"] for r in ratios])
    low = middle - [r["quartile_1"] for r in ratios]
    high = [r["quartile_3"] for r in ratios] - middle
    axes.errorbar(
        sizes,
        middle,
        yerr=np.stack([low, high]),
        color=COLORS[number % len(COLORS)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        linestyle="none",
        linewidth=1,
        capsize=2,
        label=label,
    )


def draw_memory(points: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw temporary memory over depth, by hand (solid) and by jax.grad (dashed), per activation.

    If some activations were measured at more than one depth, only those are drawn.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for point in sorted(points, key=lambda p: p["depth"]):
        by_name.setdefault(point["activation"], []).append(point)
    over_depth = {name: found for name, found in by_name.items() if len(found) > 1}
    lines = over_depth or by_name
    figure = new_figure(4.3 * len(lines), 3.9)
    top = max(max(p["temporary_bytes"].values()) for v in lines.values() for p in v)
    for axes, (name, found) in zip(row_of_axes(figure, len(lines)), lines.items(), strict=True):
        depths = [p["depth"] for p in found]
        for who, style, color in ((BY_JAX, "s--", COLORS[1]), (BY_HAND, "o-", COLORS[0])):
            kept = [p["temporary_bytes"][who] / 1e6 for p in found]
            axes.plot(depths, kept, style, color=color, markersize=5, label=who)
        axes.set(title=name, xlabel="hidden layers", ylim=(0, 1.06 * top / 1e6), xticks=depths)
        level_lines(axes)
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    first = points[0]
    figure.axes[0].set_ylabel("temporary memory of the gradient (MB)")
    what = f"Width {first['width']}, batch {first['batch_size']}, {first['precision']}"
    figure.suptitle(f"{what}: temporary memory of the compiled program", fontsize=9)
    save(figure, path)
