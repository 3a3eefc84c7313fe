"""Run the command in a separate process, interrupt it and resume it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

COMMAND = ("-m", "mlp_jax")


def write_rows(folder: Path) -> Path:
    """1500 rows of two classes as `rows.npz` in the folder, which it gives back."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 20)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
    return folder


def start(place: Path, *words: str, program: tuple[str, ...] = COMMAND) -> "subprocess.Popen[str]":
    """The command, under way in `place`, with a cache of compiled programs there.

    They are compiled fast and not well, all sittings alike. program: what Python runs.
    """
    environment = os.environ | {
        "XDG_CACHE_HOME": str(place / "cache"),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> str:
    """What it said until it ended well."""
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), err
    return out


def killed(process: "subprocess.Popen[str]") -> None:
    """Ends it as nothing else does: it can do no more."""
    process.kill()
    process.communicate()


def stopped(process: "subprocess.Popen[str]", number: signal.Signals, again: str) -> None:
    """Ends it by a signal, which it answers to by saving and saying how to go on: `again`."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert re.fullmatch(
        rf"mlp-jax: Stopped by {number.name} after step \d+, which is saved\. To resume: {again}\n",
        err,
    )


def read_epochs(process: "subprocess.Popen[str]", count: int) -> str:
    """What it says until it has told of that many epochs.

    A run that saves itself every 2 epochs waits for one save before it begins the next: once it
    has told of 5, one is whole.
    """
    said = []
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        said.append(line)
        count -= line.startswith("epoch ")
        if count == 0:
            return "".join(said)
    raise AssertionError(process.stderr.read())


def different(a: Path, b: Path, *names: str) -> list[str]:
    """The files that two folders do not share to the byte, of the results and those named."""
    names = ("model/model.safetensors", "metrics.jsonl", "test.json", *names)
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()]
