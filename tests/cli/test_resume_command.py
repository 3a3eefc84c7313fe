"""Runs that are cut short, as a user meets them: a process that is killed, its second sitting."""

import re
import signal
import subprocess
import time

import pytest
from sittings import different, finished, killed, read_epochs, start, stopped, write_rows

from mlp_jax.files import read_jsonl

WORDS = (
    "--data", "rows.npz", "--hidden", "32", "--epochs", "200", "--batch-size", "8",
    "--optimizer", "momentum", "--dropout", "0.1", "--schedule", "cosine",
    "--learning-rate", "0.02", "--metrics", "accuracy",
)  # fmt: skip
OFTEN, NEVER = (("--checkpoint-every", every) for every in ("2 epochs", "never"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table of numbers in it, and a cache of compiled programs beside it."""
    return write_rows(tmp_path_factory.mktemp("user"))


def train(place, *words):
    return start(place, "train", *words)


@pytest.fixture(scope="module")
def alone(place):
    """The run that nothing interrupts."""
    finished(train(place, *WORDS, *NEVER, "--out", "alone"))
    return place / "alone"


@pytest.fixture(scope="module")
def held(place):
    """A run in the folder `cut` that has saved itself, and holds its breath."""
    process = train(place, *WORDS, *OFTEN, "--out", "cut")
    read_epochs(process, 6)
    process.send_signal(signal.SIGSTOP)
    yield process
    killed(process)


def same(a, b):
    return different(a, b, "layers.jsonl", "report/learning_curve.png") == []


def test_two_runs_into_one_folder_at_once(place, held):
    second = train(place, "--resume", "cut")
    _, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (2, "mlp-jax: Another process is writing to cut.\n")
    third = train(place, *WORDS, "--out", "cut")
    _, err = third.communicate(timeout=60)
    assert third.returncode == 2
    assert "cut already holds a run" in err
    assert held.poll() is None


def test_a_run_killed_and_resumed_is_the_uninterrupted_run(place, held, alone):
    killed(held)
    assert not (place / "cut/model").exists()
    again = train(place, "--resume", "cut")
    said = read_epochs(again, 6)
    killed(again)
    assert not (place / "cut/model").exists()
    said += finished(train(place, "--resume", "cut", *NEVER))
    assert len(re.findall(r"^Resuming from epoch \d+$", said, re.MULTILINE)) == 2
    assert same(place / "cut", alone)


def test_a_signal_saves_says_how_to_go_on_and_exits_with_the_usual_code(place, alone):
    process = train(place, *WORDS, *NEVER, "--out", "stopped")
    for number in (signal.SIGTERM, signal.SIGINT):
        read_epochs(process, 10)
        stopped(process, number, "mlp-jax train --resume stopped")
        process = train(place, "--resume", "stopped")
    assert len(read_jsonl(place / "stopped/metrics.jsonl")) >= 20
    finished(process)
    assert same(place / "stopped", alone)


def test_a_disk_that_fills_up_ends_the_run_and_spares_what_is_saved(place, tmp_path):
    """A file system of a few megabytes, where the machine lets a test mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        words = (*WORDS, *OFTEN, "--hidden", "160", "--out", str(small / "run"), "--keep", "40")
        process = train(place, *words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 2, out
        assert err.startswith("mlp-jax: ")
        assert err.count("\n") == 1
        assert "the disk is full" in err or "No space left on device" in err
        assert "Traceback" not in out + err
        saved = sorted((small / "run/checkpoints").iterdir(), key=lambda p: p.stat().st_mtime)
        subprocess.run(["cp", "-r", str(small / "run"), str(place / "rescued")], check=True)
        assert len(saved) >= 2
    finally:
        time.sleep(0.2)
        subprocess.run(["umount", str(small)], check=True)
    more = train(place, "--resume", "rescued", "--keep", "2")
    read_epochs(more, 1)
    killed(more)


def test_a_run_that_is_finished_says_so(place, alone):
    process = train(place, "--resume", "alone")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == (
        "mlp-jax: The run in alone has finished its 200 epochs; to continue, give more:"
        " --resume alone --epochs 400.\n"
    )
