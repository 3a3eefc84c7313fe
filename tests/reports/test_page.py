import itertools
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from report_cases import CONFIG, proof_row

from mlp_jax.reports.evidence import Evidence, FirstLayer, JudgedRows, LayerFlow, Mistake
from mlp_jax.reports.folder import read_run
from mlp_jax.reports.html import VOID
from mlp_jax.reports.page import page

MADE = datetime(2026, 1, 2, 12, tzinfo=UTC)
EVIL = "<script>alert('x')</script>"
SVG_LINES = {"path", "circle", "rect", "line"}
RNG = np.random.default_rng(0)


class Outline(HTMLParser):
    """What a browser would see: every element with its attributes, unbalanced tags, the text."""

    def __init__(self):
        super().__init__()
        self.elements, self.open, self.wrong, self.text = [], [], [], []

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.wrong.append(name)

    def handle_data(self, data):
        self.text.append(data)


def seen(html):
    outline = Outline()
    outline.feed(html)
    assert outline.wrong == []
    assert outline.open == []
    return outline


def classified(n, n_rows=300, picture=False, names=None):
    names = names or tuple(f"class {k}" for k in range(n))
    y, s = RNG.integers(0, n, n_rows), RNG.random((n_rows, n))
    s /= s.sum(axis=1, keepdims=True)
    shown = RNG.integers(0, 256, (4, 4), np.uint8) if picture else None
    values = {} if picture else {EVIL: EVIL, "age": "7"}
    mistake = Mistake(3, names[0], names[-1], 2.0, 0.9, shown, values)
    return JudgedRows("test rows", "classification", names, y, s, True, (mistake,), 17)


FLOW = (LayerFlow("0 Dense(8, relu)", 0.1, 0.2, 3.0), LayerFlow("1 Dense(2)", 0.0, 0.0, 0.0))
TABLE = FirstLayer(RNG.normal(size=(5, 3)), columns=(("a", 2.5), (EVIL, 1.0), ("d", 0.0)))
PICTURES = FirstLayer(RNG.normal(size=(16, 3)), (4, 4))
COLORS = FirstLayer(RNG.normal(size=(48, 3)), (4, 4, 3))


def regression(outputs):
    y = RNG.normal(size=(50, outputs))
    mistake = Mistake(1, "3.0", "4.0", 2.0, None, None, {"size": "1"})
    names = tuple(f"output {c}" for c in range(outputs))
    return JudgedRows("test rows", "regression", names, y, y + 0.1, True, (mistake,))


def several_labels():
    y, s = RNG.integers(0, 2, (40, 3)), RNG.random((40, 3))
    return JudgedRows("test rows", "multilabel", ("a", EVIL, "c"), y, s, True, (), 0)


EVIDENCE = {
    "nothing": Evidence(),
    "pictures": Evidence(classified(10, picture=True), PICTURES, FLOW, 64, {"jax": "0.10"}),
    "colours": Evidence(classified(2, picture=True), COLORS, FLOW, 64),
    "a table": Evidence(classified(3, names=("a", EVIL, 'b" onload="x')), TABLE, FLOW, 64),
    "many classes": Evidence(classified(100)),
    "thousands of classes": Evidence(classified(1500)),
    "numbers": Evidence(regression(1), TABLE),
    "many numbers": Evidence(regression(9), TABLE),
    "several labels": Evidence(several_labels()),
    "gone": Evidence(missing=(f"The data {EVIL} cannot be loaded.",)),
}


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_page_asks_for_nothing_and_runs_nothing(make_run, name):
    html = page(read_run(make_run()), EVIDENCE[name], MADE)
    outline = seen(html)
    used = {element for element, _ in outline.elements}
    assert used.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form", "video"})
    for element, attributes in outline.elements:
        assert not [key for key in attributes if key.startswith("on")], element
        for key in ("src", "href", "srcset", "xlink:href", "action", "data"):
            assert attributes.get(key, "#").startswith(("data:image/png;base64,", "#")), element
        assert "url(" not in (attributes.get("style") or "")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = dict(outline.elements)["meta"]
    assert policy
    metas = [a for element, a in outline.elements if element == "meta"]
    assert {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    } in metas


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_page_can_be_read_without_seeing_it(make_run, name):
    outline = seen(page(read_run(make_run()), EVIDENCE[name], MADE))
    names = [element for element, _ in outline.elements]
    assert names.count("h1") == 1
    levels = [int(element[1]) for element in names if re.fullmatch("h[1-6]", element)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [a["id"] for _, a in outline.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for element, a in outline.elements if element == "a"]
    assert set(links) <= set(ids)
    for element, attributes in outline.elements:
        if element == "img":
            assert attributes["alt"]
        if element == "svg":
            assert (attributes["role"], bool(attributes["aria-label"])) == ("img", True)
        if attributes.get("class") == "scroll":
            assert (attributes["tabindex"], attributes["role"]) == ("0", "region")
    assert dict(outline.elements)["html"]["lang"] == "en"


@pytest.mark.parametrize("name", ["a table", "several labels", "gone"])
def test_names_from_the_data_are_shown_as_they_are_and_do_nothing(make_run, name):
    config = CONFIG.replace("digits", EVIL)
    run = read_run(make_run(config=config, facts={}, rows=[proof_row(layer=EVIL)]))
    html = page(run, EVIDENCE[name], MADE)
    assert "<script" not in html
    assert EVIL in "".join(seen(html).text)


def titles(html):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", html)


def test_the_sections_are_those_that_there_is_evidence_for(make_run):
    run = read_run(make_run())
    assert titles(page(run, EVIDENCE["pictures"], MADE)) == [
        "Gradient check", "Learning curves", "Confusion matrix", "Calibration",
        "First layer", "Worst mistakes", "Gradient flow", "Run it again",
    ]  # fmt: skip
    assert titles(page(run, EVIDENCE["numbers"], MADE)) == [
        "Gradient check", "Learning curves", "Predicted and true values", "First layer",
        "Worst mistakes", "Run it again",
    ]  # fmt: skip
    html = page(run, EVIDENCE["gone"], MADE)
    assert titles(html) == ["Gradient check", "Learning curves", "Run it again"]
    assert "cannot be loaded" in html


def test_an_unfinished_run_reports_what_there_is(make_run):
    folder = make_run(history=[], facts={}, test={})
    (folder / "check.json").write_text('{"ok": true, "rows": 3}')
    (folder / "config.toml").write_text("torn = ")
    html = page(read_run(folder), Evidence(), MADE)
    seen(html)
    for words in ("interrupted", "No epoch of this run", "no record of a gradient check",
                  "config.toml is missing or damaged"):  # fmt: skip
        assert words in html


def test_a_failed_proof_is_shown_where_it_fails(make_run):
    rows = [proof_row(), proof_row(equation="∇b = ∇z", ok=False, error=0.5), proof_row(error=None)]
    html = page(read_run(make_run(rows=rows)), Evidence(), MADE)
    assert "disagrees with a witness in 1 of 3" in html
    assert "✗ 5.0e-01" in html
    assert '<span class="bad">fails</span>' in html


def test_the_command_makes_the_same_run_again(make_run):
    config = (
        CONFIG + 'metrics = ["f1", "top2"]\nresidual = true\nhistograms = false\nnorm = "rms"\n'
    )
    html = page(read_run(make_run(config=config)), Evidence(), MADE)
    command = "".join(seen(re.search("<pre>.*?</pre>", html)[0]).text)
    assert command == (
        "mlp-jax train --data digits --hidden 8 8 --epochs 3 --metrics f1 top2 --residual "
        "--norm rms"
    )


def test_the_matrix_counts_each_pair_once(make_run):
    y, s = np.array([0, 0, 1, 1, 1]), np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 2)
    judged = JudgedRows("test rows", "classification", ("cat", "dog"), y, s, True, (), 1)
    html = page(read_run(make_run()), Evidence(judged), MADE)
    matrix = re.search("<svg[^>]*Confusion matrix of 2 classes.*?</svg>", html)[0]
    tips = re.findall("<title>(.*?)</title>", matrix)
    assert tips == [
        "cat predicted as cat: 2 (100.0%)",
        "dog predicted as cat: 1 (33.3%)",
        "dog predicted as dog: 2 (66.7%)",
    ]
    assert re.findall(r"<text[^>]*>(\d+)</text>", matrix) == ["2", "1", "2"]
    assert "4 of 5 test rows are predicted correctly (80.0%)" in html


def test_scores_that_are_no_probabilities_are_not_calibrated(make_run):
    judged = JudgedRows("test rows", "classification", ("a", "b"), np.array([0]),
                    np.array([[0.6, 0.4]]), False, (), 0)  # fmt: skip
    html = page(read_run(make_run()), Evidence(judged), MADE)
    assert "not probabilities" in html
    assert "Reliability" not in html


def test_equal_records_give_an_equal_page(make_run):
    run = read_run(make_run())
    assert page(run, EVIDENCE["pictures"], MADE) == page(run, EVIDENCE["pictures"], MADE)


def test_values_that_are_not_finite_leave_gaps(make_run):
    history = [
        {"epoch": 1, "train_loss": 1.0, "validation_loss": None},
        {"epoch": 2, "train_loss": None, "validation_loss": None},
    ]
    html = page(read_run(make_run(history=history)), Evidence(), MADE)
    assert "nan" not in "".join(seen(html).text).lower()
    assert 'd="M' in html
