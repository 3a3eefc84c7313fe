import json
import struct
from dataclasses import replace

import jax
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from training_cases import digits

from mlp_jax.errors import DivergedError, InputError, ProofError, RunFolderError
from mlp_jax.files import read_jsonl
from mlp_jax.proof.faults import FAULTS, inject
from mlp_jax.training.run import build as setup
from mlp_jax.training.run import folder, run
from mlp_jax.training.run.config import TrainConfig, read_config

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A hundred digits in a file, and a run over them of a second."""
    rows = digits(100)
    path = tmp_path_factory.mktemp("data") / "hundred.npz"
    np.savez(path, x=rows.x.reshape(-1, 8, 8), y=rows.y)
    return TrainConfig(data=str(path), hidden=(8,), optimizer="momentum", epochs=3, batch_size=32)


@pytest.fixture(scope="module")
def twice(config, tmp_path_factory):
    """Two equal runs, and what they said."""
    said = []
    runs = [
        run.train(
            replace(config, out=str(tmp_path_factory.mktemp("run") / name)), said.append, bar=False
        )
        for name in "ab"
    ]
    return runs, said


def tags(folder):
    """The names in the events that TensorBoard would show, each with its steps."""
    (path,) = folder.glob("tensorboard/events.out.tfevents.*")
    content, found = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
        content = content[16 + length :]
    return found


def test_a_run_leaves_its_folder_behind(twice, config):
    runs, _ = twice
    made = runs[0].folder
    assert sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()) == sorted(
        [
            ".lock", "check.json", "config.toml", "layers.jsonl", "metrics.jsonl",
            "model/model.json", "model/model.safetensors", "report/confusion_matrix.png",
            "report/first_layer.png", "report/learning_curve.png", "run.json", "test.json",
            "timing.jsonl",
            *(str(p.relative_to(made)) for p in made.glob("tensorboard/*")),
            *(str(p.relative_to(made)) for p in made.glob("checkpoints/9/**/*") if p.is_file()),
        ]
    )  # fmt: skip
    assert read_config(made / "config.toml") == config
    assert json.loads((made / "check.json").read_text())["ok"] is True
    assert all(p.read_bytes().startswith(PNG) for p in made.glob("report/*.png"))
    assert json.loads((made / "test.json").read_text()) == pytest.approx(runs[0].test)
    assert set(runs[0].test) == {
        "loss", "accuracy", "log_loss", "f1", "roc_auc", "average_precision",
    }  # fmt: skip


def test_the_logs_have_a_line_an_epoch(twice):
    folder = twice[0][0].folder
    records = read_jsonl(folder / "metrics.jsonl")
    assert records == list(twice[0][0].fitted.history)
    assert [record["step"] for record in records] == [3, 6, 9]  # 70 rows, 32 a batch
    assert set(records[0]) == {
        "epoch", "step", "train_loss", "validation_loss", "validation_accuracy",
        "gradient_variance", "gradient_signal", "noise_scale",
    }  # fmt: skip
    times = read_jsonl(folder / "timing.jsonl")
    assert [record["epoch"] for record in times] == [1, 2, 3]
    assert all(record["seconds"] > 0 and record["samples_per_second"] > 0 for record in times)


def test_tensorboard_has_the_curves_the_norms_and_the_dead_units(twice):
    found = tags(twice[0][0].folder)
    assert {tag for tag in found if tag.startswith(("train", "validation", "speed", "dead"))} == {
        "train/loss", "validation/loss", "validation/accuracy", "speed/samples_per_second",
        "dead_units/0",
    }  # fmt: skip
    for kind in ("gradient_norm", "weight_norm", "update_norm", "update_to_weight"):
        assert {f"{kind}/0.W", f"{kind}/1.W"} <= set(found)
    for tag, steps in found.items():
        always = tag.startswith(("train/", "validation/", "speed/"))
        assert "update_to" in tag or steps == ([3, 6, 9] if always else [3, 6])
    assert not any(tag.startswith(("weights/", "gradients/")) for tag in found)


def test_equal_runs_have_equal_bytes(twice):
    (a, b), _ = twice
    names = ("metrics.jsonl", "layers.jsonl", "test.json", "report/learning_curve.png")
    names = (*names, "model/model.safetensors")
    for name in names:
        assert (a.folder / name).read_bytes() == (b.folder / name).read_bytes()


def test_a_run_says_what_it_trains_and_shows_the_proof(twice):
    _, said = twice
    assert said[0] == ("hundred: 70 training rows; 64-8-10 relu, softmax_cross_entropy")
    assert said[1].startswith("  Target y: classification with 10 classes, since it is an array")
    assert "verified: all" in said[2]


@pytest.mark.usefixtures("unproved")
def test_numbers_and_histograms(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    np.savez(tmp_path / "sum.npz", x=x, y=x.sum(axis=1))
    config = TrainConfig(
        data=str(tmp_path / "sum.npz"), hidden=(8,), optimizer="momentum", epochs=2, batch_size=8,
        histograms=True, out=str(tmp_path / "run"),
    )  # fmt: skip
    found = run.train(config, lambda _: None, bar=False)
    assert set(found.test) == {"loss", "rmse", "mae", "r2"}
    spread = 1 / found.fitted.target.scale[0]  # the loss is of standardized targets
    assert found.test["rmse"] ** 2 * spread**2 == pytest.approx(found.test["loss"], rel=1e-5)
    assert sorted(p.name for p in (tmp_path / "run/report").iterdir()) == [
        "first_layer.png", "learning_curve.png", "predicted_and_true.png",
    ]  # fmt: skip
    assert {
        f"{t}/{n}" for t in ("weights", "gradients") for n in ("0.W", "0.b", "1.W", "1.b")
    } <= set(tags(tmp_path / "run"))


@pytest.mark.usefixtures("unproved")
def test_several_labels_a_row(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 3))
    np.savez(tmp_path / "signs.npz", x=x, y=(x[:, :2] > 0).astype(np.float32))
    config = TrainConfig(
        data=str(tmp_path / "signs.npz"), loss="sigmoid_cross_entropy", hidden=(8,),
        optimizer="momentum", epochs=1, batch_size=8, out=str(tmp_path / "run"),
    )  # fmt: skip
    found = run.train(config, lambda _: None, bar=False)
    assert {"accuracy", "f1", "log_loss"} <= set(found.test)
    assert set(found.fitted.history[0]) >= {"validation_accuracy"}


@pytest.mark.usefixtures("unproved")
def test_a_run_without_test_or_validation_rows(config, tmp_path):
    out = str(tmp_path / "run")
    alone = replace(config, epochs=1, validation=0.0, test=0.0, diagnostics=False, out=out)
    found = run.train(alone, lambda _: None, bar=False)
    assert found.test == {}
    assert set(found.fitted.history[0]) == {"epoch", "step", "train_loss"}
    assert not (found.folder / "layers.jsonl").exists()
    assert not (tmp_path / "run/report/confusion_matrix.png").exists()


def test_a_folder_that_holds_anything_is_left_alone(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.toml").write_text("")
    with pytest.raises(RunFolderError, match="already holds a run"):
        run.train(replace(config, out=str(tmp_path / "run")), lambda _: None, bar=False)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.toml"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("")
    with pytest.raises(RunFolderError, match="already holds something else"):
        run.train(replace(config, out=str(tmp_path / "other")), lambda _: None, bar=False)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(RunFolderError):
            folder.new_folder(str(out), "digits")


def test_an_empty_folder_may_be_used(tmp_path):
    assert folder.new_folder(str(tmp_path), "digits") == tmp_path


def test_runs_that_start_together_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder.time, "strftime", lambda _: "20260101-120000")
    names = [folder.new_folder(None, data).name for data in ("digits", "digits", "x/my data.npz")]
    assert names == [
        "20260101-120000-digits", "20260101-120000-digits-2", "20260101-120000-my data",
    ]  # fmt: skip
    assert folder.new_folder(None, "idx:/data/kuzushiji").name == "20260101-120000-kuzushiji"


def test_a_failed_proof_leaves_no_folder(config, tmp_path, monkeypatch):
    right = setup.build_network

    def wrong(config, loss, data):
        return inject(FAULTS["sign"], right(config, loss, data), loss, data.inputs.n_features)[0]

    monkeypatch.setattr(setup, "build_network", wrong)
    said = []
    with pytest.raises(ProofError, match="∇z = ∇a' ⊙ f'"):
        run.train(replace(config, out=str(tmp_path / "run")), said.append, bar=False)
    assert "FAULT in" in said[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"batch_size": 71}, {"hidden": (0,)}, {"epochs": 0}, {"metrics": ("r2",)},
     {"validation": 1.0}, {"seed": -1}, {"optimizer": "adm"}, {"precision": "tf32"}],
)  # fmt: skip
def test_what_cannot_be_run_leaves_no_folder(config, tmp_path, monkeypatch, options):
    if options == {"precision": "tf32"} and jax.default_backend() == "gpu":
        pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        run.train(replace(config, **options), lambda _: None, bar=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unproved")
def test_a_diverged_run_keeps_whole_files_only(config, tmp_path):
    with pytest.raises(DivergedError, match="diverged at step"):
        run.train(
            replace(config, learning_rate=1e30, out=str(tmp_path / "run")),
            lambda _: None,
            bar=False,
        )
    assert read_config(tmp_path / "run/config.toml").learning_rate == 1e30
    assert json.loads((tmp_path / "run/check.json").read_text())["ok"] is True
    assert read_jsonl(tmp_path / "run/metrics.jsonl") == []
    assert "diverged at step" in json.loads((tmp_path / "run/run.json").read_text())["failed"]
    assert not list((tmp_path / "run").rglob("*.tmp"))
