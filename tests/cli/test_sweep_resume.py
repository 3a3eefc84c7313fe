"""Sweeps and ensembles that are cut short, as a user meets them: processes that are killed."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from mlp_jax.files import read_jsonl

SWEEP = (
    "sweep", "--data", "digits", "--hidden", "16", "--hidden", "24", "12", "--trials", "9",
    "--seeds", "2", "--epochs", "90", "--learning-rate", "1e-3:1e-1:log", "--dropout", "0,0.2",
    "--optimizer", "momentum", "--checkpoint-every", "2 epochs",
)  # fmt: skip
ENSEMBLE = (
    "train", "--data", "rows.npz", "--hidden", "16", "--ensemble", "3", "--epochs", "40",
    "--batch-size", "8", "--dropout", "0.1", "--schedule", "cosine", "--optimizer", "momentum",
    "--checkpoint-every", "20 steps",
)  # fmt: skip
SHORT_CALLS = (
    "import mlp_jax.training.calls as calls; calls.SECONDS_A_CALL = 2e-4;"
    "from mlp_jax.cli.main import main; main()"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with rows in it, and a cache of compiled programs beside them."""
    folder = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 20)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
    return folder


def start(place, *words):
    """The command in a process of its own, with compiled calls so short that epochs have many."""
    environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, "-c", SHORT_CALLS, *words],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), err
    return out


def read_epochs(process, count):
    """What the process says until it has told of that many epochs."""
    said = []
    for line in process.stdout:
        said.append(line)
        count -= line.startswith("epoch ")
        if count == 0:
            return "".join(said)
    raise AssertionError(process.stderr.read())


def different(a, b, *names):
    names = ("model/model.safetensors", "metrics.jsonl", "test.json", *names)
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()]


@pytest.fixture(scope="module")
def alone(place):
    """The sweep that nothing interrupts."""
    finished(start(place, *SWEEP, "--out", "alone"))
    return place / "alone"


def test_a_sweep_killed_and_resumed_is_the_uninterrupted_sweep(place, alone):
    process = start(place, *SWEEP, "--out", "killed")
    read_epochs(process, 10 + 10 + 15)
    process.kill()
    process.communicate()
    assert not (place / "killed/sweep.csv").exists()
    process = start(place, "sweep", "--resume", "killed")
    said = read_epochs(process, 30)
    assert said.count("trained already") == 2
    assert re.search(r"going on from epoch \d+\nepoch +\d+/30 ", said)
    process.kill()
    process.communicate()
    finished(start(place, "sweep", "--resume", "killed"))
    assert different(place / "killed", alone, "sweep.csv", "sweep.png", "sweep.toml") == []
    names = {path.name for path in (place / "killed").iterdir()}
    assert names == {path.name for path in alone.iterdir()}
    assert not names & {"legs", "checkpoints"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_a_sweep_and_says_how_to_go_on(place, alone, number, code):
    name = f"stopped-{number}"
    process = start(place, *SWEEP, "--checkpoint-every", "never", "--out", name)
    read_epochs(process, 25)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert re.fullmatch(
        rf"mlp-jax: Stopped by {signal.Signals(number).name} after step \d+, which is saved;"
        rf" go on with: mlp-jax sweep --resume {name}\n",
        err,
    )
    left = {path.name for path in (place / name).iterdir()}
    assert left == {".lock", "legs", "check.json", "run.json", "sweep.toml"}
    if number == signal.SIGTERM:
        finished(start(place, "sweep", "--resume", name))
        assert different(place / name, alone, "sweep.csv") == []


def test_an_ensemble_killed_within_an_epoch_is_the_uninterrupted_ensemble(place):
    finished(start(place, *ENSEMBLE, "--out", "all"))
    process = start(place, *ENSEMBLE, "--out", "cut")
    said = ""
    for epochs in (10, 12):
        said += read_epochs(process, epochs)
        process.kill()
        process.communicate()
        assert not (place / "cut/model").exists()
        process = start(place, "train", "--resume", "cut")
    said += finished(process)
    assert re.search(r"^going on from epoch \d+, step \d+$", said, re.MULTILINE)
    assert different(place / "cut", place / "all", "report/learning_curve.png") == []
    assert len(read_jsonl(place / "cut/metrics.jsonl")) == 40
