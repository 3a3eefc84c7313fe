"""Report section on the privacy guarantee of a private run."""

import math
from collections.abc import Mapping
from typing import Any

from mlp_jax.charts.curves import Series, curve_figure
from mlp_jax.charts.figures import TRAIN
from mlp_jax.reports.folder import RunRecord, number
from mlp_jax.reports.html import Markup, chart, joined, scrolling, table, tag
from mlp_jax.reports.listing import short

_ROWS = {
    "epsilon": "ε of the whole run",
    "delta": "δ",
    "noise_multiplier": "noise, in multiples of the clip",
    "clip": "bound on the norm of each example's gradient",
    "sampling_probability": "probability that a row is in a batch",
    "expected_batch_size": "rows expected in a batch",
    "batch_capacity": "capacity of a batch",
    "steps": "steps",
    "neighbours": "neighbours",
    "accountant": "accountant",
}


def privacy_section(run: RunRecord) -> Markup:
    """Show the guarantee in words, its figures, and ε by epoch."""
    found = run.metadata.get("private")
    metadata: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    epsilon, delta = number(metadata.get("epsilon")), number(metadata.get("delta"))
    if epsilon is None or delta is None:
        words = "This run has not ended, so its privacy guarantee is not final."
    else:
        words = (
            "Adding or removing one training row makes any outcome of the training at most "
            f"{math.exp(min(epsilon, 700.0)):,.3g} times (e^ε) as likely, up to a failure "
            f"probability of {delta:g}. The guarantee covers the training rows; the metrics on "
            "validation and test rows are computed without noise."
        )
    rows = [(said, _value(metadata[name])) for name, said in _ROWS.items() if name in metadata]
    epochs = [number(r.get("epoch")) or i for i, r in enumerate(run.history, start=1)]
    spent = [number(record.get("epsilon")) for record in run.history]
    known = [math.nan if value is None else value for value in spent]
    parts: list[object] = [tag("p", words)]
    if any(map(math.isfinite, known)):
        drawn = curve_figure("ε", [Series("ε", TRAIN, epochs, known)])
        parts.append(chart(drawn, "ε spent by epoch", "ε of the steps so far, at the same δ."))
    if rows:
        parts.append(scrolling(table(["", "value"], rows, words=2), "Privacy guarantee"))
    return joined(parts)


def _value(value: Any) -> str:
    found = number(value)
    return str(value) if found is None or isinstance(value, int) else short(found)
