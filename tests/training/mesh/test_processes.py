"""Two processes over loopback: the run of one, also after one of them is killed."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import polars as pl
import pytest

from mlp_jax.errors import DeviceError, InputError, LostProcessError, RunFolderError
from mlp_jax.files import read_jsonl
from mlp_jax.training.checkpoint.integrity import CHECKSUMS, FOLDER
from mlp_jax.training.mesh import processes
from mlp_jax.training.mesh.processes import (
    Cluster,
    allreduce_max,
    broadcast_folder,
    broadcast_json,
    join,
)

WORDS = (
    "--data", "rows.npz", "--hidden", "128", "128", "--epochs", "30", "--batch-size", "8",
    "--precision", "float64", "--dropout", "0.1", "--checkpoint-every", "2 epochs",
    "--metrics", "accuracy",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
    return folder


def start(place, *words, processes=1):
    """The command, as so many processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    together = ("--distributed", "--coordinator", f"localhost:{port}", "--processes")
    environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache"), "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "mlp_jax", "train", *words]
            + ([*together, str(processes), "--process-id", str(number)] if processes > 1 else []),
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def read_epochs(process, count):
    for line in process.stdout:
        count -= line.startswith("epoch ")
        if count == 0:
            return
    raise AssertionError(process.stderr.read())


def ends(processes, seconds=120):
    """Their exit codes and what the first one said."""
    said = [process.communicate(timeout=seconds) for process in processes]
    return [process.returncode for process in processes], "".join(said[0])


def losses(folder):
    return [
        (line["train_loss"], line["validation_loss"])
        for line in read_jsonl(folder / "metrics.jsonl")
    ]


def bytes_written(run):
    """Of the newest whole checkpoint: how many bytes of arrays each process has written."""
    whole = [path.parent for path in (run / FOLDER).glob(f"*/{CHECKSUMS}")]
    leaves = max(whole, key=lambda path: int(path.name)) / "leaves"
    return [
        sum(file.stat().st_size for file in (leaves / f"ocdbt.process_{number}").glob("d/*"))
        for number in range(2)
    ]


def test_two_processes_give_the_run_of_one_also_when_one_is_killed(place):
    assert ends(start(place, *WORDS, "--out", "one"))[0] == [0]
    first, second = start(place, *WORDS, "--shard-optimizer", "--out", "two", processes=2)
    read_epochs(first, 5)
    second.kill()
    second.communicate()
    codes, said = ends([first], 60)
    assert codes == [LostProcessError.exit_code]
    last = said.splitlines()[-1]
    assert last.startswith("mlp-jax: Another process of this training was lost")
    assert last.endswith("resume with --resume, on any number of processes.")
    assert min(bytes_written(place / "two")) > 0.3 * sum(bytes_written(place / "two"))
    resumed = start(place, "--resume", "two", "--mesh", "model=2", processes=2)
    read_epochs(resumed[0], 3)
    resumed[1].terminate()
    codes, said = ends(resumed)
    assert codes == [143, 143], said
    assert "Stopped by SIGTERM after step" in said
    assert min(bytes_written(place / "two")) > 0.3 * sum(bytes_written(place / "two"))
    codes, said = ends(start(place, "--resume", "two", "--mesh", "data=1"))
    assert codes == [0], said
    assert "Resuming from epoch" in said
    assert len(losses(place / "two")) == 30
    np.testing.assert_allclose(losses(place / "two"), losses(place / "one"), rtol=1e-10)


def test_two_processes_that_stream_a_table_give_the_run_of_one(place):
    x = np.load(place / "rows.npz")["x"]
    frame = pl.from_numpy(x, list("abcdef")).with_columns(label=pl.Series(x[:, 0] > 0))
    (place / "table").mkdir()
    for number in range(8):
        frame[50 * number : 50 * (number + 1)].write_parquet(place / f"table/{number}.parquet")
    words = ("--data", "table", "--target", "label", "--stream", *WORDS[2:5])
    words += ("--epochs", "3", "--batch-size", "24", "--precision", "float64")
    alone = start(place, *words, "--out", "alone")
    codes, said = ends(start(place, *words, "--out", "streamed", processes=2))
    assert (codes, ends(alone)[0]) == ([0, 0], [0]), said
    np.testing.assert_allclose(losses(place / "streamed"), losses(place / "alone"), rtol=1e-12)


def test_both_say_what_is_wrong_and_end(place):
    (place / "full").mkdir()
    (place / "full/something").touch()
    codes, said = ends(start(place, *WORDS, "--out", "full", processes=2))
    assert codes == [2, 2]
    assert "full already holds something else" in said


def test_one_that_waits_for_another_in_vain_says_so():
    """JAX aborts it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    alone = (
        "from mlp_jax.training.mesh import processes as p; p.CONNECT_SECONDS = 2;"
        f" p.join(p.Cluster({address!r}, 2, 0))"
    )
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, timeout=60)
    said = done.stderr.splitlines()[-1]
    assert said.startswith(
        "mlp-jax: The processes could not connect: another one was lost, or did not"
    )
    assert done.returncode == DeviceError.exit_code


def test_half_an_address_is_no_address():
    with pytest.raises(InputError, match="needs all of --coordinator"):
        join(Cluster("localhost:1", None, 0))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("UNKNOWN: Gloo AllGather failed: closed"), LostProcessError, "Gloo AllGather"),
        (jax.errors.JaxRuntimeError("INTERNAL: closed"), LostProcessError, "INTERNAL: closed"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 4 GB"), DeviceError, "memory of a device"),
        (InputError("no such column"), InputError, "no such column"),
    ],
    ids=str,
)
def test_what_ends_a_process_is_told_in_a_sentence(error, kind, words):
    told_of = processes._known_error(error)
    assert type(told_of) is kind
    assert words in str(told_of)


def test_what_nobody_foresaw_keeps_its_traceback():
    assert processes._known_error(KeyError("a")) is None


def test_one_process_agrees_with_itself():
    assert jax.process_count() == 1
    assert allreduce_max(3, 0) == (3, 0)
    assert broadcast_json({"a": [1]}) == {"a": [1]}


def test_a_process_that_does_not_see_the_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    assert broadcast_folder(tmp_path) == tmp_path
    with pytest.raises(RunFolderError, match="needs a shared file system"):
        broadcast_folder(tmp_path / "elsewhere")


def test_without_a_scheduler_it_says_what_is_needed(monkeypatch):
    def nobody(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", nobody)
    with pytest.raises(DeviceError, match="Without SLURM, Open MPI or Kubernetes they need"):
        join(Cluster())
