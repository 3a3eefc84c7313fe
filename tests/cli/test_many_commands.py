"""`mlp-jax sweep` and `mlp-jax train --ensemble` end to end, on small tables."""

import contextlib
import csv
import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.data import Split
from mlp_jax.model.model_folder import load_model
from mlp_jax.training.many import fit
from mlp_jax.training.run.config import read_config
from mlp_jax.training.sweep import run as search
from mlp_jax.training.sweep.search import rungs
from tests.training.training_cases import leaves_equal

pytestmark = pytest.mark.usefixtures("unproved", "optax_promotes")
SMALL = ("--batch-size", "8", "--epochs", "3", "--validation", "0.25", "--test", "0.2")


@pytest.fixture
def plants(tmp_path):
    """A CSV with a number, a category, a date, a column of parts and one of notes."""
    rng = np.random.default_rng(0)
    lines = ["width,soil,day,part,note,kind"]
    for k in range(80):
        kind = k % 3
        soil = ("clay", "sand", "peat")[(kind + int(rng.random() < 0.2)) % 3]
        part = ("train", "train", "validation", "test")[k // 3 % 4 if k < 72 else k % 4]
        day = f"2024-{1 + k % 12:02d}-{1 + k % 28:02d}"
        lines.append(f"{kind + rng.normal():.3f},{soil},{day},{part},n{k},{'abc'[kind]}")
    (tmp_path / "plants.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "plants.csv"


def test_a_sweep_ranks_its_trials_and_saves_the_best_as_a_model(mlp_jax, flowers, tmp_path):
    done = mlp_jax(
        "sweep", "--data", str(flowers), "--hidden", "5", "--learning-rate", "1e-3:1:log",
        "--weight-decay", "0:0.1", "--trials", "6", "--seeds", "2", *SMALL, "--out", "s",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "5: 6 trials of 2 seeds, 12 networks, 3 epochs" in done.out
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
    assert "4: 3 trials of 1 seed, 3 networks, 1 epoch\n" in done.out
    epochs = [
        row["epochs"] for row in csv.DictReader((tmp_path / "s/sweep.csv").read_text().splitlines())
    ]
    assert epochs == ["3"] * 2 + ["1"] * 4


def test_shapes_may_each_have_an_option_of_their_own(mlp_jax, flowers, tmp_path):
    words = ("sweep", "--data", str(flowers), "--trials", "2", *SMALL)
    done = mlp_jax(*words, "--hidden", "4", "--hidden=3,2", "--hidden", "5", "4", "--out", "s")
    assert done.code == 0, done.err
    for shape in ("4", "3-2", "5-4"):
        assert f"\n{shape}: 2 trials of 1 seed, 2 networks, 1 epoch\n" in done.out
    again = mlp_jax(*words, "--hidden", "4,", "3,2", "5,4", "--out", "t")
    assert again.code == 0, again.err
    assert (tmp_path / "s/sweep.csv").read_bytes() == (tmp_path / "t/sweep.csv").read_bytes()


def test_a_sweep_of_a_table_takes_the_options_of_train(mlp_jax, plants, tmp_path):
    table = (
        "--data", str(plants), "--target", "kind", "--numeric", "width", "--categorical", "soil",
        "--date", "day", "--drop", "note", "--split-column", "part", "--scaling", "robust",
    )  # fmt: skip
    words = (
        "sweep", *table, "--hidden", "4", "--trials", "3", "--epochs", "2", "--batch-size", "8",
        "--clip-norm", "1", "--max-norm", "3", "--average", "0.9", "--class-weight",
        "balanced", "--schedule", "cosine", "--warm-up", "0.1", "--deterministic", "--precision",
        "float32", "--device", "cpu",
    )  # fmt: skip
    done = mlp_jax(*words, "--out", "s")
    assert done.code == 0, done.err
    model, config = load_model(tmp_path / "s"), read_config(tmp_path / "s/config.toml")
    assert [column.name for column in model.inputs.categorical] == ["soil"]
    assert (config.scaling, config.split_column, config.group_column) == ("robust", "part", None)
    assert (config.clip_norm, config.max_norm) == (1.0, 3.0)
    assert (config.average, config.warm_up) == (0.9, 0.1)
    rows = json.loads((tmp_path / "s/run.json").read_text())["rows"]
    assert rows == {"train": 40, "validation": 20, "test": 20}
    again = mlp_jax("sweep", "--config", "s/sweep.toml", "--out", "t")
    assert again.code == 0, again.err
    assert (tmp_path / "s/sweep.csv").read_bytes() == (tmp_path / "t/sweep.csv").read_bytes()


def test_the_best_trial_trains_by_itself_and_is_listed_as_a_run(mlp_jax, flowers, tmp_path):
    words = ("--hidden", "4", "--trials", "3", "--seed", "5", *SMALL, "--out", "s")
    assert mlp_jax("sweep", "--data", str(flowers), *words).code == 0
    done = mlp_jax("train", "--config", "s/config.toml", "--out", "t")
    assert done.code == 0, done.err
    losses = [
        [json.loads(line)["train_loss"] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("s/metrics.jsonl", "t/metrics.jsonl")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    done = mlp_jax("runs", ".", "--json")
    sweep = next(run for run in json.loads(done.out) if run["run"] == "s")
    assert (sweep["status"], sweep["epochs"], sweep["network"]) == ("finished", 3, "2-4-3 relu")


def test_networks_that_memory_does_not_hold_train_in_chunks_and_go_on(
    mlp_jax, flowers, tmp_path, monkeypatch
):
    words = ("sweep", "--data", str(flowers), "--hidden", "4", "--trials", "5", *SMALL)
    whole = mlp_jax(*words, "--out", "whole")
    monkeypatch.setattr(fit, "chunk_size", lambda count, each, bound: 2)
    parts = mlp_jax(*words, "--out", "parts")
    assert parts.code == 0, parts.err
    assert "networks 1 to 2: memory holds 2 at once" in parts.out
    assert "networks 5 to 5: memory holds 2 at once" in parts.out
    assert "1 of 1 training" in parts.out
    assert "memory holds" not in whole.out
    ranked = [
        sorted(row["validation_accuracy"] for row in _rows(tmp_path / name))
        for name in ("whole", "parts")
    ]
    assert ranked[0] == ranked[1]
    calls = iter(range(5))
    with monkeypatch.context() as patch:
        asked = contextlib.nullcontext(
            lambda: None if next(calls, None) is not None else signal.SIGTERM
        )
        patch.setattr(search, "stop_requests", lambda: asked)
        cut = mlp_jax(*words, "--out", "cut")
    assert cut.code == 143, cut.err
    more = mlp_jax("sweep", "--resume", "cut")
    assert more.code == 0, more.err
    assert "networks 1 to 2: memory holds 2 at once\n  already trained\n" in more.out
    assert "Resuming from epoch" in more.out
    for name in ("sweep.csv", "model/model.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_a_sweep_goes_on_with_its_own_options_and_data_or_not_at_all(
    mlp_jax, flowers, tmp_path, monkeypatch
):
    words = ("sweep", "--data", str(flowers), "--hidden", "4", "--trials", "2", *SMALL)
    with monkeypatch.context() as patch:
        asked = contextlib.nullcontext(lambda: signal.SIGINT)
        patch.setattr(search, "stop_requests", lambda: asked)
        assert mlp_jax(*words, "--out", "s").code == 130
    for more, said in [
        (("--trials", "3"), "The sweep in s cannot resume with changed options: trials was 2"),
        (("--hidden", "5"), "hidden was 4 and is now 5"),
    ]:
        done = mlp_jax("sweep", "--resume", "s", *more)
        assert (done.code, said in done.err) == (2, True), done.err
    assert "already holds a run" in mlp_jax(*words, "--out", "s").err
    assert "s holds no run" in mlp_jax("train", "--resume", "s").err
    before = flowers.read_bytes()
    np.savez(flowers, x=np.load(flowers)["x"] + 1, y=np.load(flowers)["y"])
    assert "have changed since it started" in mlp_jax("sweep", "--resume", "s").err
    flowers.write_bytes(before)
    assert mlp_jax("sweep", "--resume", "s", "--keep", "2").code == 0
    done = mlp_jax("sweep", "--resume", "s")
    assert (done.code, done.err) == (
        2, f"mlp-jax: The sweep in s has finished: see {Path('s', 'sweep.csv')}.\n"
    )  # fmt: skip
    done = mlp_jax("train", "--resume", "s", "--epochs", "9")
    assert (done.code, "s holds a sweep" in done.err) == (2, True)
    assert "holds no sweep: it has no sweep.toml" in mlp_jax("sweep", "--resume", "model").err


def test_a_sweep_of_which_every_trial_diverges_says_so(mlp_jax, flowers, tmp_path):
    done = mlp_jax(
        "sweep", "--data", str(flowers), "--hidden", "4", "--learning-rate", "1e30,1e35",
        "--optimizer", "sgd", "--trials", "2", *SMALL, "--out", "s",
    )  # fmt: skip
    assert done.code == 1
    assert done.err == (
        "mlp-jax: Every trial diverged; try smaller learning rates."
        " The logs of the sweep are in s.\n"
    )
    assert "Every trial diverged" in json.loads((tmp_path / "s/run.json").read_text())["failed"]
    assert not (tmp_path / "s/sweep.csv").exists()


def test_one_trial_without_a_range_is_a_sweep_too(mlp_jax, flowers, tmp_path):
    done = mlp_jax(
        "sweep", "--data", str(flowers), "--hidden", "4", "--learning-rate", "0.01", "--trials",
        "1", *SMALL, "--out", "s",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "4: 1 trial of 1 seed, 1 network, 3 epochs" in done.out
    assert "±" not in done.out
    assert len(_rows(tmp_path / "s")) == 1


def _rows(folder):
    return list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))


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


def test_an_ensemble_on_a_table_with_categories_is_the_mean_of_its_members(
    mlp_jax, plants, tmp_path
):
    done = mlp_jax(
        "train", "--data", str(plants), "--target", "kind", "--drop", "part", "note", "--hidden",
        "6", "--ensemble", "4", "--epochs", "6", "--batch-size", "8", "--out", "e",
    )  # fmt: skip
    assert done.code == 0, done.err
    model = load_model(tmp_path / "e")
    members = [
        replace(model, network=network, params=params, layer_state=state).predict_proba(str(plants))
        for network, params, state in zip(
            model.network.members, model.params, model.layer_state, strict=True
        )
    ]
    assert len(members) == 4
    mean = np.mean(members, axis=0)
    assert model.predict_proba(str(plants)) == pytest.approx(mean, abs=1e-6)
    assert not np.allclose(members[0], members[1], atol=1e-3)
    done = mlp_jax("predict", "e", "--input", str(plants), "--disagreement", "--output", "o.csv")
    assert done.code == 0, done.err
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    assert len(rows) == 80
    for row, own, together in zip(rows, zip(*members, strict=True), mean, strict=True):
        apart = _entropy(together) - sum(map(_entropy, own)) / 4
        assert float(row["disagreement"]) == pytest.approx(apart, abs=1e-5)


def _entropy(probabilities):
    return -sum(p * math.log(p) for p in map(float, probabilities) if p > 0)


def test_an_ensemble_goes_on_where_it_was_as_if_never_cut(mlp_jax, flowers, tmp_path):
    words = ("train", "--data", str(flowers), "--hidden", "4", "--ensemble", "2", *SMALL)
    longer = ("--epochs", "5", "--schedule-epochs", "5")
    assert mlp_jax(*words, *longer, "--out", "whole").code == 0
    assert mlp_jax(*words, "--schedule-epochs", "5", "--out", "cut").code == 0
    done = mlp_jax("train", "--resume", "cut", *longer)
    assert done.code == 0, done.err
    assert "Resuming from epoch 4" in done.out
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
        (("train", "--ensemble", "0"), "An ensemble needs at least 2 members, not 0."),
        (("sweep", "--trials", "0"), "A sweep needs at least 1 trial, not 0."),
        (("sweep", "--learning-rate", "a:b"), "--learning-rate must be LOW:HIGH, LOW:HIGH:log"),
        (("sweep", "--dropout", "0:2"), "--dropout 0:2 must lie in [0, 1)"),
        (("sweep", "--validation", "0"), "A sweep needs validation rows"),
        (("sweep", "--optimizer", "lbfgs"), "lbfgs"),
        (("sweep", "--optimizer", "kfac"), "cannot be combined with the optimizer kfac"),
        (("sweep", "--seeds", "0"), "A sweep needs at least 1 seed, not 0."),
        (("sweep", "--learning-rate", "1:1e-3:log"), "needs a low end below its high end"),
        (("sweep", "--learning-rate", "0:1:log"), "is logarithmic, so it must start above 0"),
        (("sweep", "--learning-rate", "-1:1"), "must lie in [0, inf)"),
        (("sweep", "--learning-rate", "0"), "learning rate"),
        (("sweep", "--weight-decay", "0:inf"), "needs a low end below its high end"),
        (("sweep", "--label-smoothing", "0.1,2"), "0.1,2 must lie in [0, 1)"),
        (("sweep", "--hidden", "4,x"), "Hidden layers must be widths, such as 64 64, or shapes"),
        (("sweep", "--activation", "rulu"), "Did you mean 'relu'?"),
        (("sweep", "--metrics", "acuracy"), "Did you mean 'accuracy'?"),
        (("sweep", "--checkpoint-every", "often"), "not 'often'"),
        (("sweep", "--keep", "1"), "At least 2 checkpoints must be kept"),
        (("sweep", "--seed", "-1"), "A seed must lie between 0 and 2^32 - 1, not -1."),
        (("sweep", "--resume", "nowhere"), "nowhere holds no sweep"),
        (("sweep", "--config", "nowhere.toml"), "Cannot read the configuration nowhere.toml"),
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
