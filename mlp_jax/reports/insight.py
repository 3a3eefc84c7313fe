"""Report sections on the network itself: its first layer, its gradients.

Letters: I features, J units.
"""

from mlp_jax.charts.weights import MOST_UNITS, mosaic_figure
from mlp_jax.reports.charts import bar_figure, flow_figure
from mlp_jax.reports.evidence import Evidence, FirstLayer, LayerFlow
from mlp_jax.reports.html import Markup, chart, joined, scrolling, table, tag

_MOST_COLUMNS = 20


def first_layer_section(first: FirstLayer) -> Markup:
    """Show the weights of images as images; for other inputs, the columns by their effect."""
    n_units = first.W.shape[1]
    if first.image_shape:
        shown = min(n_units, MOST_UNITS)
        which = f"all {n_units}" if shown == n_units else f"the {shown} largest of {n_units}"
        color = len(first.image_shape) == 3 and first.image_shape[-1] == 3
        caption = (
            "The colours that activate each unit, around grey."
            if color
            else "Orange: more of this pixel raises the unit; blue: lowers it."
        )
        words = f"The weights into {which} units of the first layer, each as a picture."
        title = f"Weights of {shown} units of the first layer"
        drawn = mosaic_figure(first.W, first.image_shape)
        return joined([tag("p", words), chart(drawn, title, caption)])
    bars = first.columns[:_MOST_COLUMNS]
    words = (
        f"Effect of each column on the {n_units} units of the first layer: the root mean square "
        "over the rows of (x − mean) W for the column's features. A long bar does not imply that "
        "the prediction depends on the column."
    )
    title = f"Effect of {len(bars)} of {len(first.columns)} columns on the first layer"
    unit = f"root mean square of ‖Δz‖, {len(bars)} of {len(first.columns)} columns"
    return joined([tag("p", words), chart(bar_figure(bars, unit), title)])


def flow_section(evidence: Evidence) -> Markup:
    """Show ‖∇z‖ and ‖∇W‖ of every layer, with the healthy range."""
    words = (
        f"One hand-written backward pass over {evidence.flow_rows:,} training rows with the "
        "trained weights (dropout off). Healthy: both lines stay within a factor of about ten from "
        "the first layer to the last. A steady fall towards the first layer is a vanishing "
        "gradient, a steady rise an exploding one, a zero a dead layer."
    )
    rows = [(one.layer, one.grad_z, one.grad_W) for one in evidence.flow]
    numbers = table(
        ["layer", "‖∇z‖", "‖∇W‖", "‖W‖", "‖∇W‖ / ‖W‖"],
        [
            (one.layer, *(f"{v:.3g}" for v in (one.grad_z, one.grad_W, one.W)), _ratio(one))
            for one in evidence.flow
        ],
    )
    return joined(
        [
            tag("p", words),
            chart(flow_figure(rows), "Norms of the gradients by layer"),
            scrolling(numbers, "Norms of the gradients by layer"),
        ]
    )


def _ratio(one: LayerFlow) -> str:
    return f"{one.grad_W / one.W:.1e}" if one.W else "–"
