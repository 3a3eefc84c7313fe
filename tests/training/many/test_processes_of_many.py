"""Many networks over two processes: the sweep of one process, by the same command."""

import csv
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import jax
import numpy as np
import pytest

from mlp_jax.cli.sweep import sweep
from mlp_jax.errors import InputError
from mlp_jax.proof import Report
from mlp_jax.training.mesh.mesh_shape import member_sharding
from mlp_jax.training.mesh.processes import allgather, allgather_json, count_machines

WORDS = (
    "--data", "rows.npz", "--hidden", "8", "--epochs", "3", "--trials", "5",
    "--learning-rate", "0.003,0.01,1e200", "--dropout", "0:0.2", "--patience", "2", "--seed", "19",
    "--precision", "float64", "--checkpoint-every", "1 epochs",
)  # fmt: skip


def noted_sweep(note, *words):
    """The command without its proof, which writes down what its networks came to; the code."""
    module = importlib.import_module("mlp_jax.training.sweep.search")
    fit_many = module.fit_many

    def noting(*what, **how):
        many = fit_many(*what, **how)
        found = {"histories": many.histories, "history": many.history, "failures": many.failures}
        Path(note).write_text(json.dumps(found))
        return many

    plan = importlib.import_module("mlp_jax.training.plan")
    unproved = patch.object(plan, "check_gradients", lambda *_, **__: Report(()))
    with patch.object(module, "fit_many", noting), unproved:
        return sweep([*WORDS, *words])


def start(place, *words):
    """`noted_sweep` in a process of its own, compiled as in this one."""
    compiled = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, __file__, *words],
        cwd=place,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | compiled,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(process):
    """What it said, once it has ended well."""
    said, wrong = process.communicate(timeout=120)
    assert process.returncode == 0, wrong
    return said


def trials(folder):
    with (folder / "sweep.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.usefixtures("optax_promotes")
def test_two_processes_give_the_sweep_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    np.savez("rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    together = ("--out", "two", "--distributed", "--coordinator", f"localhost:{port}")
    together = (*together, "--processes", "2", "--process-id")
    with (
        start(tmp_path, "0.json", *together, "0") as first,
        start(tmp_path, "1.json", *together, "1") as second,
    ):
        assert noted_sweep("alone.json", "--out", "one") == 0
        said = ends(first), ends(second)
    assert "sweep: two" in said[0]
    assert all(line.startswith("[Gloo]") for line in said[1].splitlines())
    alone, *each = (json.loads(Path(f"{name}.json").read_text()) for name in ("alone", 0, 1))
    assert each[0] == each[1]
    assert list(each[0]["failures"]) == list(alone["failures"]) == ["3"]
    assert "diverged at step 2" in each[0]["failures"]["3"]
    for name in ("history", "histories"):
        found, expected = jax.tree.leaves(each[0][name]), jax.tree.leaves(alone[name])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    one, two = (trials(tmp_path / folder) for folder in ("one", "two"))
    assert one == two
    assert two[-1]["diverged"] == "1"


def test_one_process_hears_itself():
    assert allgather_json({"a": [0.1, None]}) == [{"a": [0.1, None]}]
    np.testing.assert_array_equal(allgather(np.arange(3.0)), [[0, 1, 2]])
    assert count_machines() == 1


def test_several_processes_take_all_devices_or_say_why_not(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    first = jax.devices("cpu")[0]
    assert member_sharding(None, first, 16).mesh.size == 8
    with pytest.raises(
        InputError, match="cannot be split evenly over the 8 devices of 2 processes"
    ):
        member_sharding(None, first, 12)


if __name__ == "__main__":
    sys.exit(noted_sweep(*sys.argv[1:]))
