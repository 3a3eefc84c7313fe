"""The sections of a report about the training's health: the gradient's noise, and each layer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlp_jax.reports.charts import Series, curve_chart
from mlp_jax.reports.folder import RunRecord, number
from mlp_jax.reports.html import Markup, figure, joined, scrolling, table, tag
from mlp_jax.reports.listing import shortened

FAR = 4.0  # times the noise scale, from which a batch is well below or above it
UPDATES = (1e-5, 1e-1)  # ‖ΔW‖/‖W‖ of a step that hardly moves the layer, or throws it about
MANY_DEAD, ENOUGH = 0.1, 256  # share of a layer's units; examples that tell a dead one from a rare
PLAIN = 0.05  # share of dead or saturated up to which a cell has no colour
SHARES = {"dead": "dead units", "saturated": "saturated"}
FIGURES = {
    "norm_a": "‖a‖",
    "norm_grad_z": "‖∇z‖",
    "signal_to_noise": "signal / noise",
    "update_to_weight": "‖ΔW‖ / ‖W‖",
}
_LONGEST_NAME = 34


def batch_size(run: RunRecord) -> float | None:
    """Examples a step: as run.json says at the end, else as was asked for."""
    return number(run.facts.get("batch_size")) or number(run.config.get("batch_size"))


def noise_scale(run: RunRecord) -> float | None:
    """The last noise scale, in examples; None where it was not measured or has drowned."""
    measured = [record for record in run.history if "noise_scale" in record]
    return number(measured[-1]["noise_scale"]) if measured else None


def noise_section(run: RunRecord) -> Markup | None:
    """The noise scale by epoch, with the batch size, and what the two say; None without."""
    measured = [record for record in run.history if "noise_scale" in record]
    if not measured:
        return None
    size, scale = batch_size(run), noise_scale(run)
    words = tag("p", _meaning(scale, size))
    known = [(int(r["epoch"]), value) for r in measured if (value := number(r["noise_scale"]))]
    if not known:
        return words
    epochs = [epoch for epoch, _ in known]
    series = [Series("scale", "validation", epochs, [value for _, value in known])]
    if size is not None:
        series.insert(0, Series("batch", "train", epochs, [size] * len(epochs)))
    chart = curve_chart("Noise scale by epoch", "examples", series, None, may_be_log=True)
    caption = (
        "The noise scale tr\u00a0Σ/|G|²: the variance of one example's gradient over the square of "
        "the mean gradient, averaged apart over the last looks. It usually grows as the loss falls."
    )
    return joined([words, figure(chart, caption, style="max-width:34rem")])


def _meaning(scale: float | None, size: float | None) -> str:
    """What the noise scale at the end suggests for the batch size."""
    if scale is None:
        return (
            "At the end the noise of the gradient drowned the gradient itself: over the batches "
            "that were looked at, its mean cannot be told from 0. Its noise scale is far above "
            "their size, and larger batches would be used well."
        )
    said = f"At the end the gradient's noise scale is about {_examples(scale)}"
    if size is None:
        return f"{said}: larger batches gain little, smaller ones cost more steps but no examples."
    steps, examples = 1 + scale / size, 1 + size / scale
    if scale >= FAR * size:
        advice = (
            "most of a step is noise: a larger batch, with a learning rate to suit, needs fewer "
            "steps nearly in proportion, which is worth it wherever it also computes faster"
        )
    elif size >= FAR * scale:
        advice = (
            "a step sees the same gradient many times over: a smaller batch would come as far "
            "with fewer examples"
        )
    else:
        advice = "the batch is near it, where steps and examples are in balance"
    return (
        f"{said}, and a batch has {size:,.0f}: {advice}. By the model of McCandlish 2018 such a "
        f"batch takes {steps:.2g} times the fewest steps possible and {examples:.2g} times the "
        "fewest examples. That is a rule of thumb: it has plain gradient descent at its best rate "
        "in mind."
    )


def _examples(scale: float) -> str:
    """The scale to two digits, as it is not known better."""
    if scale <= 0:
        return "0 examples"
    decimals = 1 - math.floor(math.log10(scale))
    return f"{round(scale, decimals):,.{max(0, decimals)}f} examples"


def layers_section(run: RunRecord) -> Markup | None:
    """Every layer at the last epoch, darker where something is wrong; None without records."""
    if not run.layers:
        return None
    last = run.layers[-1]
    rows = [row for row in last.get("layers", ()) if isinstance(row, Mapping)]
    shown = [key for key in (*SHARES, *FIGURES) if any(key in row for row in rows)]
    if not rows or not shown:
        return None
    cells = [
        (shortened(str(row.get("layer")), _LONGEST_NAME), *(_cell(key, row) for key in shown))
        for row in rows
    ]
    names, seen = SHARES | FIGURES, number(last.get("examples")) or 0
    words = (
        f"After epoch {number(last.get('epoch')) or 0:g}, on {seen:,.0f} of the next examples. "
        "Dead: units that are 0 on all of them. Saturated: activations where f is flat, "
        "|f′| < 0.01. ‖a‖, ‖∇z‖: root mean square over the examples. Signal / noise: "
        "|G|²/tr\u00a0Σ of the layer's gradient, of one example. ‖ΔW‖ / ‖W‖: one step over the "
        "weights; about 0.001 is usual, and coloured is what is below "
        f"{UPDATES[0]:g} or above {UPDATES[1]:g}."
    )
    content = table(["layer", *(names[key] for key in shown)], cells)
    return joined(
        [tag("p", words), scrolling(content, "Health of every layer"), _worst(rows, seen)]
    )


def _cell(key: str, row: Mapping[str, Any]) -> object:
    """The figure of a layer, on a ground that is the darker the worse it is."""
    value = number(row.get(key))
    if value is None:
        return "–" if key not in row else "not finite"
    text = f"{value:.1%}" if key in SHARES else f"{value:.2g}"
    badness = value if key in SHARES else 0.0
    if key == "update_to_weight":
        badness = 0.0 if UPDATES[0] <= value <= UPDATES[1] else 0.6
    if badness < PLAIN:
        return text
    heat = f"background:rgba(var(--heat-bad),{min(0.1 + 0.5 * badness, 0.6):.2f})"
    return tag("span", text, class_="heat", style=heat)


def _worst(rows: Sequence[Mapping[str, Any]], examples: float) -> Markup:
    """A sentence on the layer with the most dead units, where those are many."""
    dead = [(value, row) for row in rows if (value := number(row.get("dead"))) is not None]
    most = max(dead, key=lambda pair: pair[0], default=(0.0, {}))
    if most[0] < MANY_DEAD:
        return Markup("")
    advice = ""
    if examples >= ENOUGH:
        advice = (
            " A smaller learning rate, leaky_relu or gelu, or a norm before the activation keeps "
            "more of them alive."
        )
    return tag(
        "p",
        f"{most[0]:.0%} of the units of layer {most[1].get('layer')} give 0 on all {examples:,.0f} "
        f"examples that were looked at, and learn nothing from them.{advice}",
        class_="note",
    )
