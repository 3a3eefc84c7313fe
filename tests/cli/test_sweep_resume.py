"""Sweeps and ensembles that are cut short, as a user meets them: processes that are killed."""

import re
import signal

import pytest
from sittings import different, finished, killed, read_epochs, start, stopped, write_rows

from mlp_jax.files import read_jsonl

SWEEP = (
    "sweep", "--data", "digits", "--hidden", "16", "--hidden", "24", "12", "--trials", "3",
    "--seeds", "2", "--epochs", "60", "--learning-rate", "1e-3:1e-1:log", "--dropout", "0,0.2",
    "--optimizer", "momentum", "--metrics", "accuracy",
)  # fmt: skip
ENSEMBLE = (
    "train", "--data", "rows.npz", "--hidden", "16", "--ensemble", "3", "--epochs", "24",
    "--batch-size", "8", "--dropout", "0.1", "--schedule", "cosine", "--optimizer", "momentum",
    "--metrics", "accuracy",
)  # fmt: skip
SHORT_CALLS = (
    "import mlp_jax.training.compile as calls; calls.SECONDS_A_CALL = 2e-4;"
    "from mlp_jax.cli.main import main; main()"
)
OFTEN, NEVER = (("--checkpoint-every", every) for every in ("2 epochs", "never"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with rows in it, and a cache of compiled programs beside them."""
    return write_rows(tmp_path_factory.mktemp("user"))


def begin(place, *words):
    """The command under way, with compiled calls so short that epochs have many."""
    return start(place, *words, program=("-c", SHORT_CALLS))


@pytest.fixture(scope="module")
def alone(place):
    """The sweep that nothing interrupts: 20 epochs of each of two shapes, 60 of the best trials."""
    finished(begin(place, *SWEEP, *NEVER, "--out", "alone"))
    return place / "alone"


def test_a_sweep_killed_stopped_and_resumed_is_the_uninterrupted_sweep(place, alone):
    process = begin(place, *SWEEP, *OFTEN, "--out", "cut")
    read_epochs(process, 20 + 5)
    killed(process)
    assert not (place / "cut/sweep.csv").exists()
    process = begin(place, "sweep", "--resume", "cut", *NEVER)
    said = read_epochs(process, 5)
    assert said.count("already trained") == 1
    assert re.search(r"Resuming from epoch \d+\nepoch +\d+/20 ", said)
    while "/60 " not in said:
        said = read_epochs(process, 1)
    read_epochs(process, 4)
    stopped(process, signal.SIGTERM, "mlp-jax sweep --resume cut")
    said = finished(begin(place, "sweep", "--resume", "cut"))
    assert said.count("already trained") == 2
    assert re.search(r"Resuming from epoch \d+\nepoch +\d+/60 ", said)
    assert different(place / "cut", alone, "sweep.csv", "sweep.png", "sweep.toml") == []
    names = {path.name for path in (place / "cut").iterdir()}
    assert names == {path.name for path in alone.iterdir()}
    assert not names & {"legs", "checkpoints"}


def test_ctrl_c_saves_a_sweep_and_says_how_to_go_on(place):
    process = begin(place, *SWEEP, *NEVER, "--out", "stopped")
    read_epochs(process, 8)
    stopped(process, signal.SIGINT, "mlp-jax sweep --resume stopped")
    left = {path.name for path in (place / "stopped").iterdir()}
    assert left == {".lock", "legs", "check.json", "run.json", "sweep.toml"}


def test_an_ensemble_killed_within_an_epoch_is_the_uninterrupted_ensemble(place):
    finished(begin(place, *ENSEMBLE, *NEVER, "--out", "all"))
    process = begin(place, *ENSEMBLE, "--checkpoint-every", "20 steps", "--out", "half")
    said = read_epochs(process, 3)
    killed(process)
    process = begin(place, "train", "--resume", "half")
    said += read_epochs(process, 4)
    killed(process)
    assert not (place / "half/model").exists()
    said += finished(begin(place, "train", "--resume", "half", *NEVER))
    assert re.search(r"^Resuming from epoch \d+, step \d+$", said, re.MULTILINE)
    assert different(place / "half", place / "all", "report/learning_curve.png") == []
    assert len(read_jsonl(place / "half/metrics.jsonl")) == 24
