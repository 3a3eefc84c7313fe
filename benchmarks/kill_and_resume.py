"""A run killed with SIGKILL again and again and resumed, against the same run left alone.

Each sitting is killed at a random moment of its training (after its first step, before its last);
after each kill every file of the run must be readable. In the end the weights and the metrics of
the two runs must be equal, byte for byte.

    python benchmarks/kill_and_resume.py --kills 20 --json benchmarks/results/kill_and_resume.json
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from safetensors.numpy import load_file

from mlp_jax.bench.machine import describe

COMMAND = [sys.executable, "-m", "mlp_jax", "train"]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *words], stdout=log.open("ab"), stderr=subprocess.STDOUT, env=os.environ
    )


def check_files(run: Path) -> int:
    """Reads every file of the run that has a name of its own; the number of them."""
    count = 0
    for path in run.rglob("*"):
        if not path.is_file() or path.name.endswith(".tmp") or "orbax-checkpoint-tmp" in str(path):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
        elif path.suffix == ".toml":
            tomllib.loads(content.decode())
        elif path.suffix == ".jsonl":
            for line in content.split(b"\n")[:-1]:
                json.loads(line)
        elif path.suffix == ".png":
            assert content.startswith(b"\x89PNG")
            assert b"IEND" in content[-12:]
        elif path.suffix == ".safetensors":
            load_file(path)
        count += 1
    return count


def training_has_begun(log: Path, run: Path, before: int) -> bool:
    """Whether this sitting has taken a step: it goes on from a save or ended an epoch."""
    said = log.read_bytes()[before:]
    return b"epoch" in said


def digests(run: Path) -> dict[str, str]:
    files = ("model/model.safetensors", "metrics.jsonl", "test.json")
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    words = [
        "--data", options.data, "--hidden", "512", "512", "--batch-size", "128", "--dropout", "0.2",
        "--schedule", "one-cycle", "--epochs", str(options.epochs), "--checkpoint-every", "1s",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        alone, cut, log = Path(folder) / "alone", Path(folder) / "cut", Path(folder) / "log"
        began = time.perf_counter()
        assert start([*words, "--out", str(alone)], log).wait() == 0, log.read_text()
        whole = time.perf_counter() - began
        moments, files = [], 0
        process = start([*words, "--out", str(cut)], log)
        before = 0
        while len(moments) < options.kills:
            while not training_has_begun(log, cut, before):
                assert process.poll() is None, log.read_text()[before:]
                time.sleep(0.05)
            wait = draw.uniform(0, 2 * whole / (options.kills + 4))
            time.sleep(wait)
            assert process.poll() is None, "the run ended before it was killed: give more --epochs"
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(round(wait, 2))
            files += check_files(cut)
            before = log.stat().st_size
            process = start(["--resume", str(cut)], log)
            print(f"killed {len(moments)} times, now {wait:.1f} s into training", flush=True)
        assert process.wait() == 0, log.read_text()[before:]
        equal = digests(alone) == digests(cut)
        result = {
            "command": f"python benchmarks/kill_and_resume.py --kills {options.kills}"
            f" --epochs {options.epochs} --seed {options.seed}",
            "machine": describe(),
            "seconds_uninterrupted": round(whole, 1),
            "kills": options.kills,
            "seconds_into_training_when_killed": moments,
            "files_read_after_kills": files,
            "equal": equal,
            "sha256": digests(cut),
        }
    print("equal, byte for byte" if equal else "DIFFERENT")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
