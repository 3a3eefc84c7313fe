from xml.etree import ElementTree

import numpy as np
import pytest

from mlp_jax.charts.curves import Series, curve_figure
from mlp_jax.charts.figures import TRAIN, VALIDATION, log_axis, new_figure
from mlp_jax.charts.predictions import confusion_figure, scatter_figure
from mlp_jax.charts.svg import inline_svg
from mlp_jax.charts.weights import mosaic_figure

CURVES = [
    Series("train", TRAIN, [1, 2, 3], [1.0, 0.5, 0.25]),
    Series("validation", VALIDATION, [1, 2, 3], [1.2, 0.7, 0.6]),
]
RNG = np.random.default_rng(0)
FIGURES = {
    "curves": lambda: curve_figure("loss", CURVES, best=3, may_be_log=True),
    "confusion": lambda: confusion_figure(RNG.integers(0, 9, (30, 30)), ["a"] * 30),
    "scatter": lambda: scatter_figure(RNG.normal(size=(50, 1)), RNG.normal(size=(50, 1))),
    "weights": lambda: mosaic_figure(RNG.normal(size=(16, 5)), (4, 4)),
}


def parts(svg):
    return list(ElementTree.fromstring(svg).iter())


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_an_element_that_refers_to_nothing_elsewhere(name):
    svg = inline_svg(FIGURES[name](), "What it shows")
    root, *others = parts(svg)
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", "What it shows")
    ids = [part.get("id") for part in others if part.get("id")]
    assert len(ids) == len(set(ids))
    for part in others:
        assert part.tag not in ("style", "metadata", "a")
        target = part.get("href", "#")
        assert target.startswith("data:image/png;base64,") or target[1:] in {"", *ids}
    assert "url(" not in svg
    assert "://" not in svg


def test_colours_are_those_of_the_page_and_text_stays_text():
    svg = inline_svg(curve_figure("loss", CURVES), "Loss")
    styles = "".join(part.get("style", "") for part in parts(svg))
    assert "#" not in styles
    for name in ("train", "validation", "hair", "soft"):
        assert f"var(--{name})" in styles
    words = {part.text for part in parts(svg) if part.tag == "text"}
    assert {"loss", "epoch", "train", "validation", "1", "2", "3"} <= words
    assert "font-family" not in svg


def test_points_have_tooltips():
    tips = [part.text for part in parts(inline_svg(curve_figure("loss", CURVES), "Loss"))
            if part.tag == "title"]  # fmt: skip
    assert tips == [
        "epoch 1: 1", "epoch 2: 0.5", "epoch 3: 0.25",
        "epoch 1: 1.2", "epoch 2: 0.7", "epoch 3: 0.6",
    ]  # fmt: skip
    counts = np.array([[3, 1], [0, 4]])
    svg = inline_svg(confusion_figure(counts, ["cat", "<dog>"]), "Confusion")
    tips = [part.text for part in parts(svg) if part.tag == "title"]
    assert tips == [
        "cat predicted as cat: 3 (75.0%)",
        "cat predicted as <dog>: 1 (25.0%)",
        "<dog> predicted as <dog>: 4 (100.0%)",
    ]


def test_equal_figures_give_equal_text_and_others_share_no_id():
    several = [inline_svg(curve_figure("loss", CURVES[:n]), "Loss") for n in (2, 2, 1)]
    assert several[0] == several[1]
    ids = [{part.get("id") for part in parts(svg)} - {None} for svg in several]
    assert ids[0]
    assert ids[0].isdisjoint(ids[2])


def test_names_may_hold_any_characters():
    counts = np.array([[1, 0], [0, 1]])
    svg = inline_svg(confusion_figure(counts, ["a\x00\x1b\ufffeb", "$x_$ & <b>"]), "C")
    words = {part.text for part in parts(svg) if part.tag == "text"}
    assert "$x_$ & <b>" in words


def test_a_curve_is_broken_where_a_value_is_missing():
    series = [Series("train", TRAIN, range(1, 6), [0, 1, float("nan"), 0, float("inf")])]
    svg = inline_svg(curve_figure("loss", series), "Loss")
    assert any(part.get("d", "").count("M") == 2 for part in parts(svg))
    assert "nan" not in svg.lower()


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0.02, 1.2, {"0.02", "0.05", "0.1", "0.2", "0.5", "1"}), (1e-8, 1, {"10⁻⁸", "0.01", "1"})],
)
def test_labels_of_a_logarithmic_axis_are_numbers_or_powers(low, high, labels):
    figure = new_figure(5, 4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [low, high])
    log_axis(axes, every_decade=high / low < 1e4)
    words = {part.text for part in parts(inline_svg(figure, "A")) if part.tag == "text"}
    assert labels <= words
