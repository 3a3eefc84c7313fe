import json

import pytest

from mlp_jax.files import write_json_atomic

CONFIG = 'data = "digits"\nhidden = [4]\nactivation = "relu"\nepochs = 2\n'


@pytest.fixture
def two_runs(tmp_path):
    """Two run folders under runs/, the second one on its way."""
    for name, value in (("first", 0.75), ("second", 0.875)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(CONFIG)
        record = {"epoch": 1, "step": 4, "train_loss": 1.0, "validation_accuracy": value}
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        facts = {"data": "digits", "started": f"2026-01-0{len(name) - 4}T00:00:00+00:00"}
        write_json_atomic(folder / "run.json", facts)
    write_json_atomic(tmp_path / "runs/first/test.json", {"accuracy": 0.5})


def test_runs_lists_them_newest_first(mlp_jax, two_runs):
    said = mlp_jax("runs")
    assert (said.code, said.err) == (0, "")
    heads, _, *rows = said.out.splitlines()
    assert heads.startswith("run ")
    assert [row.split()[0] for row in rows] == ["second", "first"]
    assert "accuracy 0.8750 (1)" in rows[0]
    assert "interrupted" in rows[0]


def test_runs_speaks_json(mlp_jax, two_runs):
    said = mlp_jax("runs", "runs", "--sort", "metric", "--json")
    assert said.code == 0
    assert [(run["run"], run["best"]) for run in json.loads(said.out)] == [
        ("second", 0.875), ("first", 0.75),
    ]  # fmt: skip


def test_without_runs_there_is_a_hint(mlp_jax, tmp_path):
    said = mlp_jax("runs")
    assert (said.code, said.out) == (0, "No runs in runs yet. `mlp-jax train` creates one.\n")
    assert mlp_jax("runs", "--json").out == "[]\n"
    (tmp_path / "empty").mkdir()
    assert mlp_jax("runs", "empty").code == 0


def test_a_folder_that_is_not_there_is_one_sentence(mlp_jax):
    said = mlp_jax("runs", "elsewhere")
    assert (said.code, said.out) == (2, "")
    assert said.err == "mlp-jax: Cannot list the runs in elsewhere: there is no such folder.\n"


def test_compare_prints_a_table_and_draws_the_curves(mlp_jax, two_runs, tmp_path):
    said = mlp_jax("compare", "runs/first", "runs/second")
    assert (said.code, said.err) == (0, "")
    assert "best validation accuracy" in said.out
    assert "0.8750 (epoch 1) *" in said.out
    assert said.out.splitlines()[-1] == "curves: compare.png"
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name the runs to compare: mlp-jax compare RUN RUN …"),
        (
            ("runs",),
            "runs is a folder, but not a run: a run folder has config.toml and run.json",
        ),
        (("runs/first", "runs/third"), "There is no run runs/third: no such folder."),
        (("runs/first", "--output", "a.pdf"), "so 'a.pdf' must end in .png."),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(mlp_jax, two_runs, tmp_path, words, sentence):
    said = mlp_jax("compare", *words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
