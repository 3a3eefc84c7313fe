"""The result of `bench trainers` as a table in the terminal and as a picture."""

from typing import TYPE_CHECKING, Any

from mlp_jax.bench.machine import machine_title
from mlp_jax.charts.figures import (
    INK,
    PALE,
    PathLike,
    grid_of_axes,
    new_figure,
    plain_frame,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS_COLOR, SCAN_COLOR, OTHER_COLOR = "#d1651f", "#3b6ea8", "#7a7a7a"


def print_result(result: dict[str, Any]) -> None:
    """A table for each point, then the means."""
    from rich.console import Console

    console = Console()
    for point in result["points"]:
        console.print(_table(result, point))
        for name, found in point["results"].items():
            if found["status"] != "ok":
                title = result["contenders"][name]["title"]
                console.print(f"{title}: {found['status']}: {found['reason']}", highlight=False)
        console.print()
    for key, what in (
        ("geometric_mean", "the best contender that is no JAX scan"),
        ("geometric_mean_scans", "the best scan of Flax or Equinox"),
    ):
        if result[key] is not None:
            console.print(f"Geometric mean over the points: {result[key]:.2f} times {what}.")


def title_of(point: dict[str, Any]) -> str:
    """784-512-512-10, batch 128."""
    widths = "-".join(map(str, point["widths"]))
    special = "" if point["precision"] == "float32" else f", {point['precision']}"
    return f"{widths}, batch {point['batch']:,}{special}"


def _timed(point: dict[str, Any]) -> dict[str, Any]:
    """The contenders that were timed."""
    return {name: r for name, r in point["results"].items() if r["status"] == "ok"}


def _table(result: dict[str, Any], point: dict[str, Any]) -> Any:
    from rich.table import Table

    floor, steps = point["floor"], result["trial_steps"]
    table = Table(
        title=f"{title_of(point)}: {point['rows']:,} rows, {point['data']}, {point['precision']}, "
        f"{result['threads']} threads",
        caption=f"floor {floor['samples_per_second']['median'] / 1e3:,.1f} thousand samples/s: "
        f"{floor['product_rate']['median'] / 1e9:,.0f} GFLOP/s, "
        f"{floor['copy_rate']['median'] / 1e9:,.0f} GB/s. {_ratios(result, point)}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("trainer")
    for name in (
        "thousand rows/s",
        "quartiles",
        "of floor",
        f"loss after {result['trial_steps']} steps",
    ):
        table.add_column(name, justify="right")
    for name, found in _timed(point).items():
        speed = {key: value / 1e3 for key, value in found["samples_per_second"].items()}
        table.add_row(
            result["contenders"][name]["title"],
            f"{speed['median']:,.1f}",
            f"{speed['quartile_1']:,.1f} to {speed['quartile_3']:,.1f}",
            f"{found['fraction_of_floor']['median']:.2f}",
            f"{found[f'loss_after_{steps}']:.5f}",
        )
    return table


def _ratios(result: dict[str, Any], point: dict[str, Any]) -> str:
    """How many times as fast as the best of each kind mlp-jax is."""
    said = []
    for key in ("ratio_to_best", "ratio_to_scan"):
        ratio = point[key]
        if ratio is not None:
            title = result["contenders"][ratio["contender"]]["title"]
            said.append(
                f"{ratio['median']:.2f} ({ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f}) "
                f"times {title}"
            )
    return "; ".join(said)


def draw_result(result: dict[str, Any], path: PathLike) -> None:
    """A panel for each point: samples a second of each trainer, quartiles, and the floor."""
    points = result["points"]
    columns = min(len(points), 3)
    rows = -(-len(points) // columns)
    figure = new_figure(4.6 * columns + 1.2, 3.4 * rows)
    for axes, point in zip(grid_of_axes(figure, len(points), columns), points, strict=True):
        _panel(axes, result, point)
    figure.supxlabel(
        f"an epoch of training with Adam, median and quartiles of {result['rounds']} rounds; "
        f"squares: a JAX scan, circles: not.  {machine_title(result['machine'])}",
        fontsize=9,
        color=INK,
    )
    save(figure, path)


def _panel(axes: "Axes", result: dict[str, Any], point: dict[str, Any]) -> None:
    timed = _timed(point)
    ours = next(iter(result["contenders"]))
    for row, (name, found) in enumerate(timed.items()):
        speed = {key: value / 1e3 for key, value in found["samples_per_second"].items()}
        scan = result["contenders"][name]["scan"]
        color, marker = (SCAN_COLOR, "s") if scan else (OTHER_COLOR, "o")
        if name == ours:
            color, marker = OURS_COLOR, "D"
        axes.hlines(row, speed["quartile_1"], speed["quartile_3"], color=color, linewidth=2.5)
        axes.plot(speed["median"], row, marker, color=color, markersize=7)
        axes.annotate(
            f"{speed['median']:,.3g}" if speed["median"] < 1000 else f"{speed['median']:,.0f}",
            (speed["median"], row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
    floor = point["floor"]["samples_per_second"]["median"] / 1e3
    most = max(r["samples_per_second"]["quartile_3"] for r in timed.values()) / 1e3
    if floor < 2 * most:
        axes.axvline(floor, color=INK, linestyle="--", linewidth=1)
        axes.text(floor, len(timed) - 0.6, " floor", fontsize=8)
    axes.set_yticks(range(len(timed)), [result["contenders"][name]["title"] for name in timed])
    axes.invert_yaxis()
    axes.set_ylim(len(timed) - 0.4, -0.8)
    axes.set_xlim(0, 1.15 * max(most, floor if floor < 2 * most else 0))
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set(xlabel="thousand samples/s", title=title_of(point))
    plain_frame(axes)
