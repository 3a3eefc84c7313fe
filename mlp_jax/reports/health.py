"""Report sections on the training's health: gradient noise, and each layer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlp_jax.charts.curves import Series, curve_figure
from mlp_jax.charts.figures import TRAIN, VALIDATION, shortened
from mlp_jax.reports.folder import RunRecord, number
from mlp_jax.reports.html import Markup, chart, joined, scrolling, table, tag

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
    """Examples per step, as recorded in run.json, else as configured."""
    return number(run.metadata.get("batch_size")) or number(run.config.get("batch_size"))


def noise_scale(run: RunRecord) -> float | None:
    """Last noise scale, in examples; None if it was not measured or the noise dominates."""
    measured = [record for record in run.history if "noise_scale" in record]
    return number(measured[-1]["noise_scale"]) if measured else None


def noise_section(run: RunRecord) -> Markup | None:
    """Chart of the noise scale by epoch, and its meaning for the batch size; or None."""
    measured = [record for record in run.history if "noise_scale" in record]
    if not measured:
        return None
    size, scale = batch_size(run), noise_scale(run)
    words = tag("p", _meaning(scale, size))
    known = [(int(r["epoch"]), value) for r in measured if (value := number(r["noise_scale"]))]
    if not known:
        return words
    epochs = [epoch for epoch, _ in known]
    series = [Series("noise scale", VALIDATION, epochs, [value for _, value in known])]
    if size is not None:
        series.insert(0, Series("batch", TRAIN, epochs, [size] * len(epochs)))
    drawn = curve_figure("examples", series, may_be_log=True)
    caption = (
        "The noise scale tr\u00a0Σ/|G|²: the variance of one example's gradient over the square of "
        "the mean gradient, averaged separately over recent steps. It usually grows as the loss "
        "falls."
    )
    return joined([words, chart(drawn, "Noise scale by epoch", caption)])


def _meaning(scale: float | None, size: float | None) -> str:
    """Explain what the final noise scale suggests for the batch size."""
    if scale is None:
        return (
            "At the end, noise dominates the gradient: over the measured batches its mean does not "
            "differ from 0. The noise scale is far above their size, so larger batches would be "
            "efficient."
        )
    said = f"At the end, the gradient noise scale is about {_examples(scale)}"
    if size is None:
        return f"{said}: larger batches gain little, smaller ones cost more steps but no examples."
    steps, examples = 1 + scale / size, 1 + size / scale
    if scale >= FAR * size:
        advice = (
            "most of a step is noise: a larger batch with an adapted learning rate needs fewer "
            "steps nearly in proportion, which pays off wherever it also computes faster"
        )
    elif size >= FAR * scale:
        advice = (
            "a batch repeats the same gradient many times: a smaller batch would make the same "
            "progress with fewer examples"
        )
    else:
        advice = "the batch is near it, where steps and examples are in balance"
    return (
        f"{said}, and a batch has {size:,.0f}: {advice}. By the model of McCandlish 2018 such a "
        f"batch takes {steps:.2g} times the fewest steps possible and {examples:.2g} times the "
        "fewest examples. That is a rule of thumb for plain gradient descent at its best learning "
        "rate."
    )


def _examples(scale: float) -> str:
    """Format the scale to two digits, which is its accuracy."""
    if scale <= 0:
        return "0 examples"
    decimals = 1 - math.floor(math.log10(scale))
    return f"{round(scale, decimals):,.{max(0, decimals)}f} examples"


def layers_section(run: RunRecord) -> Markup | None:
    """Table of the layers at the last epoch, shaded where something is wrong; or None."""
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
        f"Measured after epoch {number(last.get('epoch')) or 0:g} on {seen:,.0f} of the next"
        " examples. Dead: units that are 0 on all of them. Saturated: activations where f is flat, "
        "|f′| < 0.01. ‖a‖, ‖∇z‖: root mean square over the examples. Signal / noise: "
        "|G|²/tr\u00a0Σ of the layer's gradient, of one example. ‖ΔW‖ / ‖W‖: one step over the "
        "weights; about 0.001 is usual; values below "
        f"{UPDATES[0]:g} or above {UPDATES[1]:g} are coloured."
    )
    content = table(["layer", *(names[key] for key in shown)], cells)
    return joined(
        [tag("p", words), scrolling(content, "Health of every layer"), _worst(rows, seen)]
    )


def _cell(key: str, row: Mapping[str, Any]) -> object:
    """Format a figure of a layer, darker the worse it is."""
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
    """Describe the layer with the most dead units, if they are many."""
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
        f"{most[0]:.0%} of the units of layer {most[1].get('layer')} are 0 on all {examples:,.0f} "
        f"measured examples, and learn nothing from them.{advice}",
        class_="note",
    )
