import os
import re
import subprocess
import sys
import tomllib

import pytest

from mlp_jax.files import read_jsonl


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """`python -m mlp_jax train` on digits in a process of its own, as a user runs it."""
    folder = tmp_path_factory.mktemp("user")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    words = [sys.executable, "-m", "mlp_jax", "train", "--epochs", "12", "--hidden", "64"]
    ended = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return folder, ended


def test_the_last_lines_are_the_test_metrics_and_the_folder(digits_run):
    folder, ended = digits_run
    assert (ended.returncode, ended.stderr) == (0, "")
    *_, last = lines = ended.stdout.splitlines()
    found = dict(re.fullmatch(r"test (\w+): (\d+\.\d{4})", line).groups() for line in lines[-7:-1])
    assert list(found) == ["loss", "accuracy", "log_loss", "f1", "roc_auc", "average_precision"]
    assert float(found["accuracy"]) > 0.94
    where = re.fullmatch(r"run: (runs/\d{8}-\d{6}-digits)", last)[1]
    assert [p.name for p in (folder / "runs").iterdir()] == [where.removeprefix("runs/")]
    assert (folder / where / "report/first_layer.png").exists()


def test_a_run_tells_its_data_its_proof_and_its_epochs(digits_run):
    _, ended = digits_run
    lines = ended.stdout.splitlines()
    assert lines[0] == ("digits: 1258 training rows; 64-64-10 relu, softmax_cross_entropy")
    assert any(line.startswith("verified: all") for line in lines)
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 12
    assert re.match(
        r"epoch +1/12  train loss \d\.\d{4}  validation accuracy 0\.\d{4}  \S+ samples/s", epochs[0]
    )


def test_compiled_programs_are_kept_in_the_users_cache(digits_run):
    folder, _ = digits_run
    assert any((folder / "cache/mlp-jax/compiled").iterdir())


@pytest.mark.usefixtures("unproved")
def test_the_command_line_wins_over_the_file(mlp_jax, flowers, tmp_path):
    (tmp_path / "c.toml").write_text(
        f'data = "{flowers}"\nhidden = [5, 5]\nepochs = 7\nbatch-size = 8\nlearning_rate = 0.25\n'
        'optimizer = "sgd"\nmetrics = ["f1"]\n'
    )
    said = mlp_jax("train", "--config", "c.toml", "--epochs", "2", "--hidden", "3", "--out", "run")
    assert said.code == 0, said.err
    used = tomllib.loads((tmp_path / "run/config.toml").read_text())
    assert (used["epochs"], used["hidden"]) == (2, [3])
    assert (used["learning_rate"], used["optimizer"], used["metrics"]) == (0.25, "sgd", ["f1"])
    records = read_jsonl(tmp_path / "run/metrics.jsonl")
    assert len(records) == 2
    assert "validation_f1" in records[0]
    assert said.out.splitlines()[-1] == "run: run"
    again = mlp_jax("train", "--config", "run/config.toml", "--out", "again")
    assert again.code == 0
    first, second = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("run", "again"))
    assert first == second


@pytest.mark.usefixtures("unproved")
def test_options_that_stand_beside_their_default_are_taken(mlp_jax, flowers, tmp_path):
    words = (
        "--batch_size 8 --optimizer momentum --epochs 1 --residual --norm layer --dropout 0.1 "
        "--hidden 4 4 --histograms --average 0.9 --class-weight balanced --clip-norm 1 "
        "--patience 1 --schedule step --warm-up 0.1 --weight-decay 0.01 --precision bf16 "
        "--metrics f1 top2 --validation 0.2 --seed 3 --importance 2"
    )
    said = mlp_jax("train", "--data", str(flowers), *words.split(), "--out", "run")
    assert said.code == 0, said.err
    used = tomllib.loads((tmp_path / "run/config.toml").read_text())
    expected = {
        "batch_size": 8, "optimizer": "momentum", "epochs": 1, "residual": True, "norm": "layer",
        "dropout": 0.1, "hidden": [4, 4], "histograms": True, "average": 0.9,
        "class_weight": "balanced", "clip_norm": 1.0, "patience": 1, "schedule": "step",
        "warm_up": 0.1, "weight_decay": 0.01, "precision": "bf16", "metrics": ["f1", "top2"],
        "validation": 0.2, "seed": 3, "importance": 2,
    }  # fmt: skip
    assert {name: used[name] for name in expected} == expected
    (record,) = read_jsonl(tmp_path / "run/metrics.jsonl")
    assert {"validation_f1", "validation_top2"} <= set(record)
