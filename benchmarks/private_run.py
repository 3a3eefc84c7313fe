"""Private runs on Fashion-MNIST with the usual options, and what a private step costs.

The command runs once a seed (the seed draws the initial weights; batches and noise are new each
time). Then private steps take turns with plain steps on as many rows as a private batch has room
for, and with the drawing of a batch and of the noise by themselves, ten steps a call.

    python benchmarks/private_run.py --seeds 3 --json benchmarks/results/private_run.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import get_loss, mlp
from mlp_jax.bench.machine import median_and_quartiles
from mlp_jax.bench.measuring import REPEATS, compare_times, compiled, interleaved
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.training import Optimizer, Privacy
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.private_step import draw_secret, normal_like, poisson_batch
from mlp_jax.training.engine.program import Program, initial_state
from mlp_jax.training.private.accounting import Account, open_account

WORDS = ["train", "--data", "fashion-mnist", "--private", "--epsilon", "3", "--delta", "1e-5"]
ROWS, BATCH, EPOCHS, STEPS = 60_000, 2048, 30, 10
PLAIN, PRIVATE = "plain step", "private step"


def run(seed: int, folder: Path) -> dict[str, Any]:
    """The command in a process of its own; seconds in all, and what it left behind."""
    out = folder / str(seed)
    started = time.perf_counter()
    words = [*WORDS, "--seed", str(seed), "--out", str(out)]
    subprocess.run([sys.executable, "-m", "mlp_jax", *words], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    test = json.loads((out / "test.json").read_text())
    private = json.loads((out / "run.json").read_text())["private"]
    return {"seed": seed, "seconds": seconds, "accuracy": test["accuracy"], "private": private}


def programs(account: Account) -> tuple[Program, Program]:
    """A plain program on as many rows as a private batch has room for, and the private one."""
    network, loss = mlp((256, 256), 10), get_loss("softmax_cross_entropy")
    optimizer = Optimizer("adam", 2e-3).build(account.steps)
    how = {"doubt_updates": False, "guarded": False, "transposed": jax.default_backend() == "cpu"}
    plain = Program(network, loss, optimizer, account.spec.capacity, **how)
    return plain, replace(plain, batch_size=BATCH, private=account.spec)


def contenders(account: Account) -> dict[str, Any]:
    """What takes turns, each as a call without arguments."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, 784), dtype=np.uint8)
    scale = jnp.full((1, 1), 2 / 255, jnp.float32)
    secret = jnp.asarray(draw_secret())
    y = jnp.asarray(rng.integers(0, 10, ROWS), jnp.int32)
    data = DeviceData(jnp.asarray(x), y, None, scale, jnp.full((1, 1), -1.0), secret)
    plain, private = programs(account)
    state = initial_state(plain, np.uint32(0), 784)
    keys = jax.random.wrap_key_data(secret, impl="threefry2x32")

    def batches(keys: Any, data: Any) -> Any:
        def one(total: Any, step: Any) -> Any:
            batch = poisson_batch(private, account.spec, data, jax.random.fold_in(keys[0], step))
            return total + jnp.sum(batch.x), None

        return jax.lax.scan(one, jnp.zeros(()), jnp.arange(STEPS))[0]

    def noises(keys: Any, params: Any) -> Any:
        def one(total: Any, step: Any) -> Any:
            now = jax.vmap(jax.random.fold_in, (0, None))(keys[2:], step)
            return jax.tree.map(jnp.add, total, normal_like(params, now)), None

        return jax.lax.scan(one, jax.tree.map(jnp.zeros_like, params), jnp.arange(STEPS))[0]

    def steps(program: Program) -> Any:
        where = (data, np.uint32(0), np.int32(1), np.int32(0))
        call = run_steps(program).lower(program, STEPS, state, *where).compile()
        return lambda: jax.block_until_ready(call(state, *where))

    drawn, noised = compiled(batches, keys, data), compiled(noises, keys, state.params)
    return {
        PLAIN: steps(plain),
        PRIVATE: steps(private),
        "drawing a batch": lambda: drawn.call(keys, data),
        "drawing the noise": lambda: noised.call(keys, state.params),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(seed, Path(folder)) for seed in range(options.seeds)]
    for one in runs:
        print(
            f"seed {one['seed']}: test accuracy {one['accuracy']:.4f} at epsilon"
            f" {one['private']['epsilon']:.3f}, {one['seconds']:.1f} s",
            flush=True,
        )
    account = open_account(Privacy(3.0, 1e-5), ROWS, BATCH, EPOCHS * -(-ROWS // BATCH))
    figures = compare_times(interleaved(contenders(account), options.repeats), PLAIN)
    for name, ratio in figures["ratio"].items():
        spread = f"{ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f}"
        print(f"{name:<20} {ratio['median']:.2f} times a {PLAIN} ({spread})")
    if options.json:
        record = result(
            f"python benchmarks/private_run.py --seeds {options.seeds}",
            jax.devices()[0],
            options.repeats,
            what=f"mlp-jax {' '.join(WORDS)}; 784-256-256-10, {STEPS} steps a call",
            load_before=load,
            goals={"accuracy": 0.8, "seconds": 600},
            runs=runs,
            accuracy=median_and_quartiles([one["accuracy"] for one in runs]),
            **figures,
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
