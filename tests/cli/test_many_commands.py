"""`mlp-jax sweep` and `mlp-jax train --ensemble` end to end, on small tables."""

import csv
import json

import numpy as np
import pytest

from mlp_jax.data import Split
from mlp_jax.model.saved import load_model
from mlp_jax.training.config import read_config
from mlp_jax.training.many.sweep import rungs
from tests.training.training_cases import leaves_equal

pytestmark = pytest.mark.usefixtures("unproved", "optax_promotes")
SMALL = ("--batch-size", "8", "--epochs", "3", "--validation", "0.25", "--test", "0.2")


def test_a_sweep_ranks_its_trials_and_saves_the_best_as_a_model(mlp_jax, flowers, tmp_path):
    done = mlp_jax(
        "sweep", "--data", str(flowers), "--hidden", "5", "--learning-rate", "1e-3:1:log",
        "--weight-decay", "0:0.1", "--trials", "6", "--seeds", "2", *SMALL, "--out", "s",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "5: 6 trials of 2 seeds, 12 networks at once, 3 epochs" in done.out
    rows = list(csv.DictReader((tmp_path / "s/sweep.csv").read_text().splitlines()))
    figures = [float(row["validation_accuracy"]) for row in rows]
    assert len(rows) == 6
    assert figures == sorted(figures, reverse=True)
    assert (tmp_path / "s/sweep.png").read_bytes()[:4] == b"\x89PNG"
    best = read_config(tmp_path / "s/config.toml")
    assert best.learning_rate == pytest.approx(float(rows[0]["learning_rate"]), rel=1e-5)
    x = np.load(flowers)["x"]
    assert load_model(tmp_path / "s").predict_proba(x).shape == (40, 3)
    assert mlp_jax("evaluate", "s", "--data", str(flowers)).code == 0
    assert mlp_jax("report", "s").code == 0


def test_several_shapes_run_by_successive_halving(mlp_jax, flowers, tmp_path):
    done = mlp_jax(
        "sweep", "--data", str(flowers), "--hidden", "4,", "3,3", "--dropout", "0:0.5",
        "--label-smoothing", "0,0.1", "--trials", "3", *SMALL, "--out", "s",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "4: 3 trials of 1 seed, 3 networks at once, 1 epoch\n" in done.out
    epochs = [
        row["epochs"] for row in csv.DictReader((tmp_path / "s/sweep.csv").read_text().splitlines())
    ]
    assert epochs == ["3"] * 2 + ["1"] * 4


def test_rungs_train_three_times_as_long_each():
    assert rungs(30, 1, 64) == [30]
    assert rungs(27, 3, 27) == [3, 9, 27]
    assert rungs(2, 3, 27) == [2]


def test_an_ensemble_predicts_with_the_mean_and_says_how_much_it_disagrees(
    mlp_jax, flowers, tmp_path
):
    done = mlp_jax(
        "train", "--data", str(flowers), "--hidden", "4", "--ensemble", "3", *SMALL, "--out", "e"
    )
    assert done.code == 0, done.err
    model, x = load_model(tmp_path / "e"), np.load(flowers)["x"]
    assert len(model.network.members) == 3
    assert model.disagreement(x).shape == (40,)
    assert (model.disagreement(x) >= 0).all()
    np.save("x.npy", x)
    done = mlp_jax("predict", "e", "--input", "x.npy", "--disagreement", "--output", "o.csv")
    assert done.code == 0, done.err
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    found = [float(row["disagreement"]) for row in rows]
    assert found == pytest.approx(model.disagreement(x).tolist(), rel=1e-5)
    for format in ("onnx", "stablehlo"):
        output = f"e.{format}"
        assert mlp_jax("export", "e", "--format", format, "--output", output).code == 0
    assert mlp_jax("report", "e").code == 0
    assert mlp_jax("evaluate", "e", "--data", str(flowers)).code == 0


def test_an_ensemble_goes_on_where_it_was_as_if_never_cut(mlp_jax, flowers, tmp_path):
    words = ("train", "--data", str(flowers), "--hidden", "4", "--ensemble", "2", *SMALL)
    longer = ("--epochs", "5", "--schedule-epochs", "5")
    assert mlp_jax(*words, *longer, "--out", "whole").code == 0
    assert mlp_jax(*words, "--schedule-epochs", "5", "--out", "cut").code == 0
    done = mlp_jax("train", "--resume", "cut", *longer)
    assert done.code == 0, done.err
    assert "going on from epoch 4" in done.out
    whole, cut = (load_model(tmp_path / name) for name in ("whole", "cut"))
    assert leaves_equal(whole.params, cut.params)
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert lines[0] == lines[1]
    assert len(json.loads(lines[0].splitlines()[0])) > 4


def test_an_ensemble_of_a_regression_disagrees_in_the_targets_units(mlp_jax, tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=100 * x[:, 0])
    done = mlp_jax(
        "train", "--data", "line.npz", "--hidden", "4", "--ensemble", "2", *SMALL, "--out", "e"
    )
    assert done.code == 0, done.err
    model = load_model(tmp_path / "e")
    assert model.disagreement(Split(x, x[:, 0])).mean() > 1
    done = mlp_jax("export", "e", "--output", "e.onnx")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "--ensemble", "0"), "An ensemble has at least 2 members, not 0."),
        (("sweep", "--trials", "0"), "A sweep needs at least 1 trial, not 0."),
        (("sweep", "--learning-rate", "a:b"), "--learning-rate is LOW:HIGH, LOW:HIGH:log"),
        (("sweep", "--dropout", "0:2"), "A dropout rate lies in [0, 1)"),
        (("sweep", "--validation", "0"), "A sweep chooses by validation rows"),
        (("sweep", "--optimizer", "lbfgs"), "lbfgs"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(mlp_jax, flowers, tmp_path, words, said):
    before = set(tmp_path.iterdir())
    done = mlp_jax(*words, "--data", str(flowers), "--epochs", "1")
    assert done.code == 2
    assert said in done.err
    assert set(tmp_path.iterdir()) == before


def test_one_network_has_nobody_to_disagree_with(mlp_jax, flowers):
    assert mlp_jax("train", "--data", str(flowers), *SMALL, "--out", "one").code == 0
    np.save("x.npy", np.load(flowers)["x"])
    done = mlp_jax("predict", "one", "--input", "x.npy", "--disagreement")
    assert done.code == 2
    assert "this model is one network" in done.err
