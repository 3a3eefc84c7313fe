"""Trains Fashion-MNIST with two processes on this machine, and with one, and compares them.

    python scripts/two_processes.py [--data fashion_mnist] [--epochs 3] [--processes 2]

In float64, in which sums taken in another order stay the same to the digits that are shown; in
float32 (--precision float32) the two drift apart like two seeds, by 0.001 or 0.002 of accuracy.
The same command on each, but for --process-id: on a cluster the scheduler says it
(slurm.sbatch, jobset.yaml).
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def train(words: list[str], folder: Path, processes: int) -> tuple[dict[str, float], float]:
    """(test metrics, seconds) of the training by so many processes."""
    command = [sys.executable, "-m", "mlp_jax", "train", *words, "--out", str(folder)]
    together = ["--distributed", "--coordinator", f"localhost:{free_port()}"]
    together += ["--processes", str(processes), "--process-id"]
    started = time.perf_counter()
    running = [
        subprocess.Popen(
            command if processes == 1 else [*command, *together, str(number)],
            stdout=None if number == 0 else subprocess.DEVNULL,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        for number in range(processes)
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        sys.exit("The training failed.")
    return json.loads((folder / "test.json").read_text()), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--precision", default="float64")
    options = parser.parse_args()
    words = ["--data", options.data, "--epochs", options.epochs, "--batch-size", "128"]
    words += ["--precision", options.precision]
    with tempfile.TemporaryDirectory() as place:
        found = {
            count: train(words, Path(place) / str(count), count) for count in (options.processes, 1)
        }
    print()
    for count, (metrics, seconds) in found.items():
        print(f"{count} process(es): test accuracy {metrics['accuracy']:.4f}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
