"""Kills trainings of several processes at random moments, goes on with others, and compares.

A chain begins on two processes. At a random moment one of them is killed by SIGKILL, the others end
by themselves, and what is saved goes on with 1, 2 or 4 processes, drawn at random; after `--kills`
kills the last ones train to the end. The final losses are compared with those of one process that
nobody killed; float64.

    python benchmarks/killed_processes.py --chains 10 --kills 3 --json out.json
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.bench.machine import describe
from mlp_jax.files import read_jsonl

WORDS = [
    "--data", "rows.npz", "--hidden", "64", "64", "--epochs", "60", "--batch-size", "32",
    "--precision", "float64", "--dropout", "0.1", "--checkpoint-every", "1s",
]  # fmt: skip


def start(place: Path, words: list[str], processes: int) -> list[subprocess.Popen]:
    """The training as so many processes; their errors go to files."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    together = ["--distributed", "--coordinator", f"localhost:{port}", "--processes"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(place / "cache")}
    running = []
    for number in range(processes):
        own = [*together, str(processes), "--process-id", str(number)] if processes > 1 else []
        with (place / f"said-{number}").open("w") as said:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "mlp_jax", "train", *words, *own],
                    cwd=place,
                    env=environment,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )
            )
    return running


def final_losses(folder: Path) -> list[float]:
    """The losses of the last epoch."""
    last = read_jsonl(folder / "metrics.jsonl")[-1]
    return [last["epoch"], last["train_loss"], last["validation_loss"]]


def saved(folder: Path) -> bool:
    """Whether there is anything to go on from."""
    return any((folder / "checkpoints").glob("[0-9]*"))


def chain(place: Path, name: str, kills: int, draw: random.Random) -> dict[str, Any]:
    """A training that is killed again and again: how it went, and its last losses."""
    folder, told = place / name, []
    words = [*WORDS, "--out", name]
    processes = 2
    for _ in range(kills):
        running = start(place, words, processes)
        while not saved(folder) and all(process.poll() is None for process in running):
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 6))
        victim = draw.randrange(processes)
        running[victim].kill()
        killed = time.perf_counter()
        codes = [process.wait() for process in running]
        told.append(
            {
                "processes": processes,
                "killed": victim,
                "codes": codes,
                "others_ended_after": time.perf_counter() - killed,
            }
        )
        if all(code == 0 for code in codes):
            break
        words, processes = ["--resume", name], draw.choice([1, 2, 4])
    else:
        codes = [process.wait() for process in start(place, words, processes)]
        told.append({"processes": processes, "codes": codes})
        if any(codes):
            raise SystemExit((place / "said-0").read_text())
    return {"kills": told, "losses": final_losses(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chains", type=int, default=5)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        x = rng.standard_normal((4000, 6)).astype(np.float32)
        np.savez(place / "rows.npz", x=x, y=(x[:, :3].sum(axis=1) > 0).astype(np.int64))
        (alone,) = start(place, [*WORDS, "--out", "alone"], 1)
        if alone.wait():
            raise SystemExit((place / "said-0").read_text())
        whole = final_losses(place / "alone")
        chains = []
        for number in range(options.chains):
            found = chain(place, f"chain-{number}", options.kills, draw)
            error = float(np.max(np.abs(np.divide(found["losses"], whole) - 1)))
            chains.append(found | {"relative_difference": error})
            hops = " → ".join(str(kill["processes"]) for kill in found["kills"])
            waits = [k["others_ended_after"] for k in found["kills"] if "others_ended_after" in k]
            print(
                f"{hops} processes: differs by {error:.1e}; the others ended after"
                f" {', '.join(f'{wait:.1f}' for wait in waits)} s",
                flush=True,
            )
    if options.json:
        command = "python benchmarks/killed_processes.py " + " ".join(sys.argv[1:])
        machine = describe(packages=("jax", "jaxlib", "orbax-checkpoint", "numpy"))
        record = {"command": command, "machine": machine, "alone": whole, "chains": chains}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
