"""What importance sampling gains and costs: variance of the gradient, seconds, training loss.

784-256-256-10 with ReLU on Fashion-MNIST (or another set with test rows: --data), batch 128, Adam,
float32. Three runs from the same weights take an epoch in turn: with batches as
they come, with batches drawn from pools, and with as many of these as take about as much time as
the first run (--shorter epochs), each with the schedule stretched over its own epochs. At the end,
outside the clock, loss and accuracy in inference; after some epochs, at the weights of the plain
run, the mean of ‖ĝ − g‖² over many batches of either kind, g the gradient over all rows.

    python benchmarks/importance_sampling.py --json benchmarks/results/importance_sampling.json
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import get_loss, mlp, value_and_grad
from mlp_jax.bench.machine import median_and_quartiles
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.data import Dataset, fit_scaling, load
from mlp_jax.training import Optimizer
from mlp_jax.training.compile import compile_calls
from mlp_jax.training.engine.batches import DeviceData, decode, rows_at
from mlp_jax.training.engine.epoch import predictions_and_losses
from mlp_jax.training.engine.importance import next_batch
from mlp_jax.training.engine.program import Keys, Program, TrainState, initial_state
from mlp_jax.training.engine.step import value_and_gradient
from mlp_jax.training.input.loaders import InMemoryLoader
from mlp_jax.training.input.placement import place

HIDDEN, BATCH = (256, 256), 128
LOSS = get_loss("softmax_cross_entropy")
PLAIN, POOLS, SHORTER = "batches as they come", "from pools", "from pools, as much time"


class Run:
    """A training of so many epochs, as `fit` would run it on a CPU, one when it is told to."""

    def __init__(
        self, data: DeviceData, seed: int, epochs: int, optimizer: Optimizer, pool: int | None
    ) -> None:
        self.data, self.seed, self.epochs = data, np.uint32(seed), epochs
        self.steps = -(-data.x.shape[0] // BATCH)
        self.program = Program(
            mlp(HIDDEN, int(data.y.max()) + 1),
            LOSS,
            optimizer.build(epochs * self.steps),
            BATCH,
            doubt_updates=False,
            guarded=False,
            transposed=jax.default_backend() == "cpu",
            pool=pool,
        )
        self.state = initial_state(self.program, self.seed, data.x.shape[1])
        self.calls = compile_calls(
            self.program, self.state, InMemoryLoader(data, self.program.batch_size), self.seed
        )

    def epoch(self, number: int) -> float:
        """Its seconds."""
        length, started = next(iter(self.calls)), time.perf_counter()
        for first in range(0, self.steps, length):
            call = self.calls[min(length, self.steps - first)]
            where = (self.data, self.seed, np.int32(number), np.int32(first))
            self.state, _ = call(self.state, *where)
        jax.block_until_ready(self.state)
        return time.perf_counter() - started

    def judged(self, data: DeviceData) -> tuple[float, float]:
        """Loss and accuracy, in inference."""
        weights = (self.state.params, self.state.layer_state)
        predictions, losses = predictions_and_losses(self.program, False, *weights, data)
        return float(jnp.mean(losses)), float(jnp.mean(jnp.argmax(predictions, axis=1) == data.y))


def full_gradient(program: Program, state: TrainState, data: DeviceData) -> Any:
    """g over all rows."""
    gradient = value_and_grad(program.network, program.loss)
    return gradient(state.params, decode(data, data.x, program.dtype), data.y)[1]


@partial(jax.jit, static_argnums=(0, 1))
def squared_errors(
    program: Program, count: int, state: TrainState, data: DeviceData, full: Any
) -> jax.Array:
    """‖ĝ − g‖² of the first batches of an epoch that no run takes."""
    n, seed = data.x.shape[0], np.uint32(2**31)
    rows = rows_at(seed, np.int32(1), n, BATCH, np.int32(0), count, program.pool)

    def one(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        batch_rows, index = item
        keys = Keys.of(seed).at(index)
        weights = (state.params, state.layer_state)
        batch = next_batch(program, *weights, data, batch_rows, index, keys.draws)
        _, _, grads = value_and_gradient(program, *weights, batch, keys.dropout)
        apart = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), grads, full)
        return sum(jax.tree.leaves(apart))

    return jax.lax.map(one, (rows, jnp.arange(count, dtype=jnp.int32)))


def variances(runs: dict[str, Run], count: int) -> dict[str, float]:
    """The mean ‖ĝ − g‖² of each kind of batch at the plain run's weights, and the ratio."""
    state, data = runs[PLAIN].state, runs[PLAIN].data
    full = full_gradient(runs[PLAIN].program, state, data)
    found = {}
    for name in (PLAIN, POOLS):
        program = replace(runs[name].program, transposed=False)
        found[name] = float(jnp.mean(squared_errors(program, count, state, data, full)))
    return found | {"ratio": found[POOLS] / found[PLAIN]}


def in_turn(
    runs: dict[str, Run], test: DeviceData, looks: tuple[int, ...]
) -> dict[str, dict[Any, Any]]:
    """All runs from one seed: seconds of each epoch, the end, and the variance after some."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    count = min(200, runs[PLAIN].steps)
    variance = {0: variances(runs, count)} if 0 in looks else {}
    for number in range(1, runs[PLAIN].epochs + 1):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            if number <= runs[name].epochs:
                seconds[name].append(runs[name].epoch(number))
        if number in looks:
            variance[number] = variances(runs, count)
    ends = {}
    for name, run in runs.items():
        (loss, _), (test_loss, accuracy) = run.judged(run.data), run.judged(test)
        ends[name] = {"training loss": loss, "test loss": test_loss, "test accuracy": accuracy}
    return {"seconds": seconds, "end": ends, "variance": variance}


def placed(dataset: Dataset) -> tuple[DeviceData, DeviceData]:
    """Training and test rows on the device."""
    assert dataset.test is not None, "a set with test rows of its own"
    scaling = fit_scaling(dataset.train.x)
    train, test = (place(s, None, scaling, np.float32) for s in (dataset.train, dataset.test))
    return train, test


def show(found: list[dict[str, Any]], ratio: dict[str, float]) -> None:
    """The figures, in words."""
    for number, spread in found[0]["variance"].items():
        print(f"after {number:>3} epochs: variance {spread['ratio']:.2f} times the plain one")
    quartiles = f"{ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f}"
    print(f"an epoch takes {ratio['median']:.2f} times as long ({quartiles})")
    for name in (PLAIN, POOLS, SHORTER):
        whole = np.mean([sum(one["seconds"][name]) for one in found])
        print(f"{name}: {len(found[0]['seconds'][name])} epochs, {whole:.1f} s")
        for what in found[0]["end"][name]:
            print(f"  {what:<14}" + "".join(f"{one['end'][name][what]:8.4f}" for one in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--schedule", default="constant")
    parser.add_argument("--pool", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--shorter", type=int, default=11)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    train, test = placed(load(options.data))
    lengths = {PLAIN: options.epochs, POOLS: options.epochs, SHORTER: options.shorter}
    optimizer = Optimizer("adam", options.rate, options.schedule)
    found = []
    for seed in range(options.seeds):
        runs = {
            name: Run(train, seed, epochs, optimizer, None if name == PLAIN else options.pool)
            for name, epochs in lengths.items()
        }
        looks = () if seed else (0, 1, options.epochs // 4, options.epochs)
        found.append(in_turn(runs, test, looks))
    pairs = [
        ours / plain
        for one in found
        for plain, ours in zip(one["seconds"][PLAIN], one["seconds"][POOLS], strict=True)
    ]
    ratio = median_and_quartiles(pairs)
    show(found, ratio)
    if options.json:
        given = vars(options).items()
        words = [f"--{name} {value}" for name, value in given if name != "json"]
        record = result(
            f"python benchmarks/importance_sampling.py {' '.join(words)}",
            jax.devices()[0],
            options.seeds,
            what=f"784-256-256-10, ReLU, batch {BATCH}, Adam, float32",
            epoch_ratio=ratio,
            variance=found[0]["variance"],
            ends=[one["end"] for one in found],
            seconds={name: [sum(one["seconds"][name]) for one in found] for name in lengths},
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
