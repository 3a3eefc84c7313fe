import jax
import pytest

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model
from mlp_jax.training.run.config import read_config
from mlp_jax.training.run.data import prepared


@pytest.fixture
def flower_run(flowers, tmp_path):
    """A run's folder with a model of random weights, named by its path from here."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(f'data = "{flowers}"\nhidden = [4]\nepochs = 2\n')
    parts = prepared(read_config(folder / "config.toml"))
    network = mlp([4], 3)
    params, state = network.init(jax.random.key(0), 2)
    loss = get_loss("softmax_cross_entropy")
    save_model(folder / "model", Model(network, loss, params, state, parts.inputs, parts.target))
    return folder


def test_report_writes_one_page_into_the_run(mlp_jax, flower_run):
    said = mlp_jax("report", "run")
    assert (said.code, said.err) == (0, "")
    assert said.out == "report: run/report/report.html\n"
    html = (flower_run / "report/report.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    for title in ("Confusion matrix", "Calibration", "Worst mistakes", "Gradient flow"):
        assert title in html
    assert "<script" not in html


def test_report_says_what_it_could_not_show(mlp_jax, flower_run, flowers):
    flowers.unlink()
    said = mlp_jax("report", "run", "--output", "page.html")
    assert said.code == 0
    sentence, last = said.out.splitlines()
    assert "cannot be loaded" in sentence
    assert last == "report: page.html"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name the run to report on"),
        (("absent",), "There is no run absent: no such folder."),
        ((".",), "is a folder, but not a run"),
        (("run", "--output", "absent/page.html"), "there is no folder absent"),
        (("run", "--output", "run"), "Cannot write run: it is a folder"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(mlp_jax, flower_run, words, sentence):
    said = mlp_jax("report", *words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert not (flower_run / "report").exists()
