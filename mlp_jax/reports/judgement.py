"""Report sections on the network's predictions: confusion, calibration, mistakes.

Letters: N rows, C classes or outputs.
"""

from collections.abc import Sequence

import numpy as np

from mlp_jax.charts.predictions import confusion_counts, confusion_figure, scatter_figure
from mlp_jax.reports.calibration import reliability
from mlp_jax.reports.charts import reliability_figure, residual_figure
from mlp_jax.reports.evidence import JudgedRows, Mistake
from mlp_jax.reports.html import (
    Markup,
    chart,
    details,
    figure,
    joined,
    png_image,
    scrolling,
    table,
    tag,
)
from mlp_jax.reports.listing import short
from mlp_jax.reports.pictures import png

_MOST_CLASSES = 100  # beyond, only the table of classes is shown
_MOST_PAIRS = 12
_MOST_OUTPUTS = 6
_WELL = 0.005  # distance of mean confidence and share right that nobody minds


def confusion_section(judged: JudgedRows) -> Markup:
    """Show the confusion of the classes; for several labels, the figures of each."""
    if judged.task == "multilabel":
        return _label_figures(judged)
    n = len(judged.names)
    counts = confusion_counts(judged.targets, judged.labels, n)
    right, total = int(np.trace(counts)), int(counts.sum())
    parts = [
        tag("p", f"{right:,} of {total:,} {judged.part} are predicted correctly "
            f"({right / max(total, 1):.1%}). Rows are true classes, columns predicted ones: blue "
            "where they agree, orange where they differ, and stronger the larger the share of the "
            "row.")
    ]  # fmt: skip
    beside = []
    if n <= _MOST_CLASSES:
        drawn = chart(confusion_figure(counts, judged.names), f"Confusion matrix of {n} classes")
        beside.append(scrolling(drawn, "Confusion matrix"))
    pairs = _frequent_pairs(counts, judged.names)
    if pairs:
        title = "Most frequent confusions"
        content = table(["true", "predicted", "times", "of the true class"], pairs, words=2)
        beside.append(tag("div", tag("h3", title), scrolling(content, title)))
    parts.append(tag("div", *beside, class_="beside"))
    parts.append(details("Every class", _class_figures(counts, judged.names)))
    return joined(parts)


def calibration_section(judged: JudgedRows) -> Markup:
    """Show the calibration of the probabilities."""
    if not judged.calibrated:
        return tag("p", "This loss trains scores that only rank the classes; they are not "
                   "probabilities, so there is nothing to calibrate.", class_="soft")  # fmt: skip
    if judged.task == "multilabel":
        confidence = judged.predictions.ravel()
        right, what = judged.targets.ravel() > 0.5, "each label"
        kind = "The share of labels that are present should equal their predicted probability."
    else:
        confidence = judged.predictions.max(axis=1)
        right, what = judged.labels == judged.targets, "the predicted class"
        kind = "Of the rows predicted with a confidence of 80%, 80% should be right."
    found = reliability(confidence, right)
    mean, share = float(np.mean(confidence)), float(np.mean(right))
    lean = "over-confident" if mean > share else "under-confident"
    verdict = "well calibrated" if abs(mean - share) < _WELL else lean
    words = (
        f"Expected calibration error {found.ece:.1%}. "
        f"Mean confidence {mean:.1%}, accuracy {share:.1%}: overall {verdict}."
    )
    caption = (
        "Bars: the accuracy of the predictions of each confidence. Orange: accuracy below the "
        "confidence (over-confident); pale: above it (under-confident). Grey: the number of "
        "predictions."
    )
    title = f"Reliability diagram; expected calibration error {found.ece:.1%}"
    drawn = chart(reliability_figure(found, what), title, caption)
    return joined([tag("p", kind, " ", tag("strong", words)), drawn])


def regression_section(judged: JudgedRows) -> Markup:
    """Show predicted against true values, and the residuals, of each output."""
    parts = [tag("p", f"All {len(judged.targets):,} {judged.part}; on the dashed line a prediction "
                 "is exact. Units are those of the target.")]  # fmt: skip
    for place, name in enumerate(judged.names[:_MOST_OUTPUTS]):
        true, predicted = (rows[:, [place]] for rows in (judged.targets, judged.predictions))
        residuals = (predicted - true).ravel()
        spread = f"mean {short(float(residuals.mean()))}, standard deviation " + short(
            float(residuals.std())
        )
        if len(judged.names) > 1:
            parts.append(tag("h3", name))
        parts.append(
            tag(
                "div",
                chart(
                    scatter_figure(true, predicted),
                    f"Predicted against true values of {name}",
                    "Predicted against true.",
                ),
                chart(residual_figure(residuals), f"Residuals of {name}", f"Residuals: {spread}."),
                class_="pair",
            )
        )
    if len(judged.names) > _MOST_OUTPUTS:
        rest = len(judged.names) - _MOST_OUTPUTS
        parts.append(tag("p", f"{rest} more outputs are not shown.", class_="soft"))
    return joined(parts)


def mistakes_section(judged: JudgedRows) -> Markup:
    """Show the worst rows with their inputs, as pictures or as a table."""
    shown = judged.mistakes
    if not shown:
        words = f"All {len(judged.targets):,} {judged.part} are predicted correctly."
        return tag("p", words, class_="soft")
    measure = "the error" if judged.task == "regression" else "the loss"
    if judged.n_wrong is None:
        words = f"The {len(shown)} worst rows by {measure}."
    else:
        words = (
            f"{judged.n_wrong:,} of {len(judged.targets):,} {judged.part} are predicted wrongly; "
            f"these are the {len(shown)} worst by {measure}. Rows are numbered among "
            f"all {judged.part}."
        )
    pictures = all(one.picture is not None for one in shown)
    return joined([tag("p", words), _picture_list(shown) if pictures else _row_table(shown)])


def _frequent_pairs(counts: np.ndarray, names: tuple[str, ...]) -> list[Sequence[object]]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    found: list[Sequence[object]] = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        times = int(wrong[row, column])
        if times:
            share = times / counts[row].sum()
            found.append((names[row], names[column], f"{times:,}", f"{share:.1%}"))
    return found


def _class_figures(counts: np.ndarray, names: tuple[str, ...]) -> Markup:
    """Return rows, recall and precision of each class."""
    right, true, said = (
        sums.tolist() for sums in (np.diag(counts), counts.sum(axis=1), counts.sum(axis=0))
    )
    rows = [
        (name, f"{true[k]:,}", _share(right[k], true[k]), _share(right[k], said[k]))
        for k, name in enumerate(names)
    ]
    heads = ["class", "rows", "recall", "precision"]
    return scrolling(table(heads, rows), "Metrics by class")


def _label_figures(judged: JudgedRows) -> Markup:
    said, true = judged.predictions > 0.5, judged.targets > 0.5
    counts = [hits.sum(axis=0).tolist() for hits in (said & true, true, said)]
    rows = [
        (name, f"{there:,}", _share(both, there), _share(both, called), f"{called - both:,}",
         f"{there - both:,}")
        for name, both, there, called in zip(judged.names, *counts, strict=True)
    ]  # fmt: skip
    heads = ["label", "rows", "recall", "precision", "false", "missed"]
    words = f"Each label at the threshold ½, on {len(true):,} {judged.part}."
    content = scrolling(table(heads, rows), "Metrics by label")
    return joined([tag("p", words), content])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _picture_list(mistakes: tuple[Mistake, ...]) -> Markup:
    items = []
    for one in mistakes:
        assert one.picture is not None
        alt = f"Input of row {one.row}: {one.true}, predicted as {one.predicted}"
        sure = "" if one.confidence is None else f"{one.confidence:.1%} sure, "
        caption = joined(
            [tag("b", one.true), tag("br"), "predicted as ", tag("b", one.predicted), tag("br"),
             f"{sure}row {one.row}"]
        )  # fmt: skip
        items.append(tag("li", figure(png_image(png(one.picture), alt, class_="pixels"), caption)))
    return tag("ul", *items, class_="pictures")


def _row_table(mistakes: tuple[Mistake, ...]) -> Markup:
    columns = list(dict.fromkeys(name for one in mistakes for name in one.values))
    sure = any(one.confidence is not None for one in mistakes)
    heads = ["row", "true", "predicted", *(["confidence"] if sure else []), *columns]
    rows = [
        (
            one.row,
            one.true,
            one.predicted,
            *([f"{one.confidence:.1%}"] if one.confidence is not None else []),
            *(one.values.get(name, "") for name in columns),
        )
        for one in mistakes
    ]
    return scrolling(table(heads, rows, words=len(heads)), "Worst rows and their inputs")
