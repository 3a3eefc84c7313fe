"""Runs that are cut short, as a user meets them: a process that is killed, its second sitting."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mlp_jax.files import read_jsonl

WORDS = (
    "--hidden", "32", "--epochs", "400", "--batch-size", "8", "--optimizer", "momentum",
    "--dropout", "0.1", "--schedule", "cosine", "--learning-rate", "0.02",
    "--checkpoint-every", "2 epochs",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table of numbers in it, and a cache of compiled programs beside it."""
    folder = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 20)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
    return folder


def start(place, *words):
    environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, "-m", "mlp_jax", "train", *words],
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


@pytest.fixture(scope="module")
def alone(place):
    """The run that nothing interrupts."""
    finished(start(place, "--data", "rows.npz", *WORDS, "--out", "alone"))
    return place / "alone"


def wait_for_epochs(process, count):
    """Reads on until the process has told of that many epochs."""
    for line in process.stdout:
        count -= line.startswith("epoch ")
        if count == 0:
            return
    raise AssertionError(process.stderr.read())


def same(a, b):
    logs = ("metrics.jsonl", "layers.jsonl")
    names = (*logs, "model/model.safetensors", "test.json", "report/learning_curve.png")
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()] == []


def test_a_run_killed_and_resumed_is_the_uninterrupted_run(place, alone):
    process = start(place, "--data", "rows.npz", *WORDS, "--out", "killed")
    for epochs in (30, 25, 40):
        wait_for_epochs(process, epochs)
        process.kill()
        process.communicate()
        assert not (place / "killed/model").exists()
        process = start(place, "--resume", "killed")
    said = finished(process)
    assert re.search(r"^going on from epoch \d+$", said, re.MULTILINE)
    assert same(place / "killed", alone)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_says_how_to_go_on_and_exits_with_the_usual_code(place, alone, number, code):
    name = f"stopped-{number}"
    process = start(
        place, "--data", "rows.npz", *WORDS, "--checkpoint-every", "never", "--out", name
    )
    wait_for_epochs(process, 20)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert re.fullmatch(
        rf"mlp-jax: Stopped by {signal.Signals(number).name} after step \d+, which is saved;"
        rf" go on with: mlp-jax train --resume {name}\n",
        err,
    )
    assert len(read_jsonl(place / name / "metrics.jsonl")) >= 20
    finished(start(place, "--resume", name))
    assert same(place / name, alone)


def test_two_runs_into_one_folder_at_once(place):
    first = start(place, "--data", "rows.npz", *WORDS, "--out", "shared")
    wait_for_epochs(first, 1)
    second = start(place, "--resume", "shared")
    _, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (2, "mlp-jax: Another run is writing to shared now.\n")
    third = start(place, "--data", "rows.npz", *WORDS, "--out", "shared")
    _, err = third.communicate(timeout=60)
    assert third.returncode == 2
    assert "shared already holds a run" in err
    first.kill()
    first.communicate()


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
        words = ("--data", "rows.npz", *WORDS, "--hidden", "160", "--out", str(small / "run"))
        process = start(place, *words, "--keep", "40")
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
    more = start(place, "--resume", "rescued", "--keep", "2")
    wait_for_epochs(more, 1)
    more.kill()
    more.communicate()


def test_a_run_that_is_finished_says_so(place, alone):
    process = start(place, "--resume", "alone")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == (
        "mlp-jax: The run in alone has finished its 400 epochs; to go on, ask for more:"
        " --resume alone --epochs 800.\n"
    )
