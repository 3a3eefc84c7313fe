"""Seconds from the start of `mlp-jax train` on digits to its first training step.

Beside it what `import jax, optax` takes, in the same run, interleaved; once with an empty
compilation cache and once with the one that the run before left. The first step counts as done
when the first compiled call has returned, and that call holds the whole first epoch.

    python benchmarks/startup.py --rounds 5 --json benchmarks/results/startup.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlp_jax.bench.machine import describe, median_and_quartiles

IMPORT = "import jax, optax"
TRAIN = """
import os
from mlp_jax.training import network_engine
from mlp_jax.training import compile as calls
compile_calls = calls.compile_calls
def first_call_only(*arguments):
    def call(length, run):
        def once(*state_and_rest):
            out = run(*state_and_rest)
            out[0].step.block_until_ready()
            os._exit(0)
        return length, once
    return dict(call(*item) for item in compile_calls(*arguments).items())
assert network_engine.compile_calls is compile_calls
network_engine.compile_calls = first_call_only
from mlp_jax.cli.main import main
main(["train"])
raise SystemExit("the first call was not caught")
"""


def seconds(code: str, environment: dict[str, str], folder: str) -> float:
    """Wall time of a fresh interpreter until `code` ends."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    times: dict[str, list[float]] = {"import jax, optax": [], "cold cache": [], "warm cache": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"XDG_CACHE_HOME": folder, "JAX_PLATFORMS": "cpu"}
            times["import jax, optax"].append(seconds(IMPORT, environment, folder))
            times["cold cache"].append(seconds(TRAIN, environment, folder))
            times["warm cache"].append(seconds(TRAIN, environment, folder))
    result = {
        "command": f"python benchmarks/startup.py --rounds {options.rounds}",
        "machine": describe(),
        "rounds": options.rounds,
        "seconds": {name: median_and_quartiles(values) for name, values in times.items()},
    }
    base = result["seconds"]["import jax, optax"]["median"]
    for name, figures in result["seconds"].items():
        print(f"{name:<20} {figures['median']:.2f} s  ({figures['median'] - base:+.2f} s)")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
