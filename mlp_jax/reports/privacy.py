"""The section of a report about what a private run may tell of its training rows."""

import math
from collections.abc import Mapping
from typing import Any

from mlp_jax.reports.charts import Series, curve_chart
from mlp_jax.reports.folder import RunRecord, number
from mlp_jax.reports.html import Markup, figure, joined, scrolling, table, tag
from mlp_jax.reports.listing import short

_ROWS = {
    "epsilon": "ε of the whole run",
    "delta": "δ",
    "noise_multiplier": "noise, in multiples of the clip",
    "clip": "bound on the norm of each example's gradient",
    "sampling_probability": "probability that a row is in a batch",
    "expected_batch_size": "rows expected in a batch",
    "batch_capacity": "rows that a batch has room for",
    "steps": "steps",
    "neighbours": "neighbours",
    "accountant": "accountant",
}


def privacy_section(run: RunRecord) -> Markup:
    """The promise in words, its figures, and ε by epoch."""
    found = run.facts.get("private")
    facts: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    epsilon, delta = number(facts.get("epsilon")), number(facts.get("delta"))
    if epsilon is None or delta is None:
        words = "This run has not ended, so what it tells of its training rows is not settled."
    else:
        words = (
            "Whatever one looks at in the trained weights, one training row more or less makes it "
            f"at most {math.exp(min(epsilon, 700.0)):,.3g} times (e^ε) as likely, but for a "
            f"probability of {delta:g}. The promise covers the training rows: the figures on "
            "validation and test rows tell of those rows without noise."
        )
    rows = [(said, _value(facts[name])) for name, said in _ROWS.items() if name in facts]
    epochs = [number(r.get("epoch")) or i for i, r in enumerate(run.history, start=1)]
    spent = [number(record.get("epsilon")) for record in run.history]
    known = [math.nan if value is None else value for value in spent]
    parts: list[object] = [tag("p", words)]
    if any(map(math.isfinite, known)):
        series = [Series("ε", "train", epochs, known)]
        chart = curve_chart("ε spent by epoch", "ε", series, None, may_be_log=False)
        parts.append(figure(chart, "ε of the steps so far, at the same δ."))
    if rows:
        parts.append(scrolling(table(["", "value"], rows, words=2), "Figures of the promise"))
    return joined(parts)


def _value(value: Any) -> str:
    found = number(value)
    return str(value) if found is None or isinstance(value, int) else short(found)
