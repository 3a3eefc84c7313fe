"""Report of a run as one self-contained HTML page."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from mlp_jax.reports import health, insight, judgement, records
from mlp_jax.reports.evidence import Evidence
from mlp_jax.reports.folder import RunRecord
from mlp_jax.reports.html import Markup, details, joined, scrolling, tag
from mlp_jax.reports.privacy import privacy_section

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_ENDINGS = {
    "finished": "finished",
    "running": "still running",
    "interrupted": "interrupted",
    "failed": "failed",
}


class Section(NamedTuple):
    """A part of the page: its anchor, its heading, its content."""

    anchor: str
    title: str
    content: Markup


def page(run: RunRecord, evidence: Evidence, made: datetime) -> str:
    """Return the whole document. A pure function: the same records give the same page."""
    shown = sections(run, evidence)
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = joined(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", f"{run.name}: {run.data}"),
            tag("style", Markup(style)),
        ],
        "\n",
    )
    body = joined(
        [
            tag("a", "Skip to content", href="#content", class_="skip"),
            _header(run, evidence, shown),
            tag("main", *(_section(one) for one in shown), id="content"),
            _footer(evidence, made),
        ],
        "\n",
    )
    html = tag("html", tag("head", head), "\n", tag("body", body), lang="en")
    return f"<!doctype html>\n{html}\n"


def sections(run: RunRecord, evidence: Evidence) -> list[Section]:
    """List the sections in reading order, without those that are not available."""
    found = [
        Section("proof", "Gradient check", records.proof_section(run)),
        Section("curves", "Learning curves", records.curves_section(run)),
    ]
    if (noise := health.noise_section(run)) is not None:
        found.append(Section("noise", "Gradient noise", noise))
    if (layers := health.layers_section(run)) is not None:
        found.append(Section("layers", "Layer health", layers))
    if run.private:
        found.insert(1, Section("privacy", "Privacy", privacy_section(run)))
    judged = evidence.judged
    if judged is not None and judged.task == "regression":
        content = judgement.regression_section(judged)
        found.append(Section("predictions", "Predicted and true values", content))
    elif judged is not None:
        title = "Labels" if judged.task == "multilabel" else "Confusion matrix"
        found.append(Section("confusion", title, judgement.confusion_section(judged)))
        content = judgement.calibration_section(judged)
        found.append(Section("calibration", "Calibration", content))
    if evidence.first_layer is not None:
        content = insight.first_layer_section(evidence.first_layer)
        found.append(Section("first-layer", "First layer", content))
    if judged is not None:
        content = judgement.mistakes_section(judged)
        found.append(Section("mistakes", "Worst mistakes", content))
    if evidence.flow:
        found.append(Section("flow", "Gradient flow", insight.flow_section(evidence)))
    found.append(Section("configuration", "Run it again", records.configuration_section(run)))
    return found


def _header(run: RunRecord, evidence: Evidence, shown: list[Section]) -> Markup:
    began = f", {run.started.day} {run.started:%B %Y, %H:%M}" if run.started else ""
    lead = [tag("strong", run.data), f" · {run.network} · {_ENDINGS[run.status]}{began}"]
    notes = [tag("p", sentence, class_="note") for sentence in evidence.missing]
    if run.metadata.get("failed"):
        notes.insert(0, tag("p", str(run.metadata["failed"]), class_="note"))
    links = [tag("li", tag("a", one.title, href=f"#{one.anchor}")) for one in shown]
    every = details("All metrics on the test rows",
                    scrolling(records.metrics_table(run), "Metrics"))  # fmt: skip
    return tag(
        "header",
        tag("p", "mlp-jax run", class_="over"),
        tag("h1", run.name),
        tag("p", *lead, class_="lead"),
        records.headline(run),
        every if run.test else "",
        *notes,
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )


def _section(one: Section) -> Markup:
    return tag(
        "section",
        tag("h2", one.title, id=f"{one.anchor}-title"),
        one.content,
        id=one.anchor,
        aria_labelledby=f"{one.anchor}-title",
    )


def _footer(evidence: Evidence, made: datetime) -> Markup:
    versions = ", ".join(f"{name} {version}" for name, version in evidence.versions.items())
    wrote = f"Trained with {versions}. " if versions else ""
    return tag(
        "footer", tag("p", f"{wrote}Report written on {made:%Y-%m-%d at %H:%M}.", class_="soft")
    )
