"""Report sections from a run's own files: figures, gradient check, curves, configuration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlp_jax.charts.curves import Series, curve_figure, curves_by_name
from mlp_jax.proof.report import READING_ORDER, WITNESSES
from mlp_jax.reports.command import train_command
from mlp_jax.reports.folder import RunRecord, number
from mlp_jax.reports.html import Markup, chart, details, joined, scrolling, table, tag
from mlp_jax.reports.listing import clock, short

_MOST_EPOCHS = 200  # rows of the table of epochs
_TILE_METRICS = 2
_SAID = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "f1": "F1"}


def headline(run: RunRecord) -> Markup:
    """Return the most important figures, as tiles."""
    tiles = []
    best, (done, asked) = run.best, run.epochs
    first = [best.metric] if best and best.metric in run.test else []
    names = [*first, *(name for name in run.test if name not in first)]
    for name in names[:_TILE_METRICS]:
        tiles.append((f"test {_words(name)}", short(run.test[name]), ""))
    if best is not None:
        tiles.append((f"best {_words(best.name)}", short(best.value), f"epoch {best.epoch}"))
    tiles.append(("epochs", str(done), f"of {asked}" if asked not in (None, done) else ""))
    speed = f"{run.speed:,.0f} samples/s" if run.speed else ""
    tiles.append(("training took", clock(run.duration), speed))
    held, total = _holding(run.proof)
    if total:
        verdict = tag("span", "passes" if held == total else "fails",
                      class_="good" if held == total else "bad")  # fmt: skip
        tiles.append(("gradient check", verdict, f"{held} of {total} comparisons"))
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else ""))
            for name, value, note in tiles
        ),
        class_="tiles",
    )


def proof_section(run: RunRecord) -> Markup:
    """Show the witnesses and their verdicts; layer by layer when opened."""
    rows = _rows(run.proof)
    if not rows:
        return tag("p", "This run's folder has no record of a gradient check.", class_="note")
    held, total = _holding(run.proof)
    verdict = (
        f"Before the first step, the hand-written backward pass was compared with independent "
        f"witnesses, layer by layer and equation by equation: all {total} comparisons pass."
        if held == total
        else f"The hand-written backward pass disagrees with a witness in {total - held} of "
        f"{total} comparisons."
    )
    summary = table(
        ["arithmetic", "witness", "worst error", "bound", "pass"],
        _by_witness(rows),
        words=2,
    )
    float64 = [row for row in rows if row.get("dtype") == "float64"] or rows
    every = table(
        ["layer", "equation", *WITNESSES.values()],
        _by_layer(float64),
        words=2,
    )
    return joined(
        [
            tag("p", verdict),
            scrolling(summary, "Verdict of each witness"),
            details(
                "Every layer and equation",
                tag("p", "Relative errors in float64, the worst over training and inference mode: "
                    "‖ours − witness‖ / ‖witness‖.", class_="soft"),
                scrolling(every, "Errors by layer and equation"),
            ),
        ]
    )  # fmt: skip


def curves_section(run: RunRecord) -> Markup:
    """Show loss and metrics by epoch, as charts and as numbers."""
    if not run.history:
        return tag("p", "No epoch of this run has ended, so there are no curves.", class_="note")
    epochs = [number(r.get("epoch")) or i for i, r in enumerate(run.history, start=1)]
    keys = dict.fromkeys(key for record in run.history for key in record)
    best = run.best.epoch if run.best else None
    charts = [
        chart(
            curve_figure(_words(name), series, best, may_be_log=name == "loss"),
            f"{_words(name)} by epoch",
            _ends(name, series),
        )
        for name, series in curves_by_name(run.history).items()
    ]
    every = -(-len(run.history) // _MOST_EPOCHS)
    shown = [key for key in keys if key not in ("epoch", "step")]
    numbers = table(
        ["epoch", *map(_words, shown)],
        [
            (f"{epoch:g}", *(short(number(record.get(key))) for key in shown))
            for epoch, record in list(zip(epochs, run.history, strict=True))[::every]
        ],
    )
    return joined(
        [
            tag("div", *charts, class_="pair"),
            details("The numbers", scrolling(numbers, "Metrics by epoch")),
        ]
    )


def metrics_table(run: RunRecord) -> Markup:
    """Return all metrics on the test rows."""
    if not run.test:
        return tag("p", "There are no metrics on test rows.", class_="soft")
    return table(
        ["metric", "test rows"],
        [(_words(name), short(value)) for name, value in run.test.items()],
    )


def configuration_section(run: RunRecord) -> Markup:
    """Show the command to train again, the requested options, and the recorded metadata."""
    if not run.config:
        return tag("p", "This run's config.toml is missing or damaged.", class_="note")
    asked = table(
        ["option", "value"],
        [(name, tag("code", _value(value))) for name, value in run.config.items()],
        words=2,
    )
    metadata = {k: v for k, v in run.metadata.items() if not isinstance(v, Mapping)}
    noted = [(_words(name), _value(value)) for name, value in metadata.items()]
    known = table(["field", "value"], noted, words=2)
    return joined(
        [
            tag("p", "Command for the same run:"),
            tag("pre", joined((tag("span", group) for group in train_command(run.config)), " ")),
            details("Every option", scrolling(asked, "Configuration")),
            details("Metadata of the run", scrolling(known, "Metadata")) if metadata else "",
        ]
    )


def _by_witness(rows: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for dtype in dict.fromkeys(str(row.get("dtype")) for row in rows):
        for witness, title in WITNESSES.items():
            group = [r for r in rows if r.get("dtype") == dtype and r.get("witness") == witness]
            if group:
                held = sum(row.get("ok") is True for row in group)
                worst = max(group, key=_badness)
                found.append((dtype, title, _error(worst), _power(worst.get("bound")),
                              f"{held} of {len(group)}"))  # fmt: skip
    return found


def _by_layer(rows: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return a row per layer and equation: the worst error by each witness, in reading order."""
    layers = list(dict.fromkeys(str(row.get("layer")) for row in rows))
    cells: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        group = cells.setdefault((str(row.get("layer")), str(row.get("equation"))), {})
        witness = str(row.get("witness"))
        if witness not in group or _badness(row) > _badness(group[witness]):
            group[witness] = row

    def place(cell: tuple[str, str]) -> tuple[int, int]:
        layer, equation = cell
        known = equation in READING_ORDER
        return layers.index(layer), READING_ORDER.index(equation) if known else 99

    found: list[tuple[object, ...]] = []
    previous = ""
    for layer, equation in sorted(cells, key=place):
        group = cells[layer, equation]
        errors = [_error(group[w]) if w in group else "" for w in WITNESSES]
        found.append(("" if layer == previous else layer, equation, *errors))
        previous = layer
    return found


def _error(row: Mapping[str, Any]) -> object:
    text = _power(row.get("error"))
    return text if row.get("ok") is True else tag("strong", f"✗ {text}", class_="bad")


def _power(value: object) -> str:
    found = number(value)
    return "not finite" if found is None else "0" if found == 0 else f"{found:.1e}"


def _badness(row: Mapping[str, Any]) -> float:
    found = number(row.get("error"))
    return math.inf if found is None else found


def _holding(proof: Mapping[str, Any]) -> tuple[int, int]:
    rows = _rows(proof)
    return sum(row.get("ok") is True for row in rows), len(rows)


def _rows(proof: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the valid comparisons in check.json."""
    rows = proof.get("rows")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _ends(name: str, series: Sequence[Series]) -> str:
    """Describe the last value of each curve."""
    ends = []
    for one in series:
        known = [value for value in one.values if math.isfinite(value)]
        ends.append(f"{one.label} {short(known[-1])}")
    return f"At the end, {_words(name)}: {', '.join(ends)}."


def _words(name: str) -> str:
    """Format a metric or option: "validation ROC AUC"."""
    said = name.replace("roc_auc", "ROC AUC")
    return " ".join(_SAID.get(word, word) for word in said.replace("_", " ").split())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
