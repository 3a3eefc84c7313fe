"""What the statistics of the tape cost, as ratios to the plain gradient.

784-1024-1024-10 with ReLU, batch 512, float32, synthetic data. Each contender is one compiled
program that returns the gradient and its statistic; they run in turn, A B A B, in one process. The
clipped gradient stands in place of the plain one. `vmap(grad)` forms every example's gradient, 2 GB
whose coming and going would disturb the others: it takes turns with gradient and norms alone.

    python benchmarks/statistics_cost.py --repeats 15 --json benchmarks/results/statistics_cost.json
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import (
    apply,
    clip_per_example,
    get_loss,
    gram_matrix,
    loss_and_tape,
    mlp,
    second_moment,
    squared_norms,
    value_and_grad,
)
from mlp_jax.bench.measuring import REPEATS, compiled, interleaved, told
from mlp_jax.bench.results import check_places, result, write_result

N_IN, HIDDEN, N_OUT, BATCH = 784, (1024, 1024), 10, 512
NETWORK, LOSS = mlp(HIDDEN, N_OUT), get_loss("softmax_cross_entropy")
PLAIN, NORMS, ALL_FORMED = "gradient", "gradient and norms", "norms by vmap(grad)"
GOALS = {NORMS: 1.1, "clipped gradient": 1.15, "gradient and second moment": 1.5}
GOALS["gradient and Gram matrix"] = 1.6
TURNS = (NORMS, ALL_FORMED)

manual, taped = value_and_grad(NETWORK, LOSS), loss_and_tape(NETWORK, LOSS)


def beside(statistic: Callable[[Any], Any]) -> Callable[..., Any]:
    """The gradient and a statistic of its tape, as one function to compile."""

    def step(params: Any, x: jax.Array, y: jax.Array) -> Any:
        value, grads, tape = taped(params, x, y)
        return value, grads, statistic(tape)

    return step


def clipped(params: Any, x: jax.Array, y: jax.Array) -> Any:
    value, _, tape = taped(params, x, y)
    return value, clip_per_example(tape, 1.0, jnp.full(len(x), 1 / len(x), jnp.float32))


def by_vmap(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    def one(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return LOSS.value(apply(NETWORK, params, x[None]), y[None])[0]

    each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(params, x, y)
    return sum(jnp.sum(g.reshape(len(x), -1) ** 2, axis=1) for g in jax.tree.leaves(each))


CONTENDERS: dict[str, Callable[..., Any]] = {
    PLAIN: lambda params, x, y: manual(params, x, y),
    NORMS: beside(squared_norms),
    "clipped gradient": clipped,
    "gradient and second moment": beside(second_moment),
    "gradient and Gram matrix": beside(gram_matrix),
    ALL_FORMED: by_vmap,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    load = os.getloadavg()[0]
    rng = np.random.default_rng(0)
    params, _ = NETWORK.init(jax.random.key(0), N_IN)
    x = jnp.asarray(rng.normal(size=(BATCH, N_IN)), jnp.float32)
    y = jnp.asarray(rng.integers(0, N_OUT, BATCH), jnp.int32)
    programs = {name: compiled(step, params, x, y) for name, step in CONTENDERS.items()}
    runs = {name: (lambda p=p: p.call(params, x, y)) for name, p in programs.items()}
    ours, theirs = runs[NORMS]()[2], runs[ALL_FORMED]()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    formed = {name: runs.pop(name) if name == ALL_FORMED else runs[name] for name in TURNS}
    figures = told(interleaved(runs, options.repeats), PLAIN)
    apart = told(interleaved(formed, options.repeats), NORMS)
    figures["seconds"][ALL_FORMED] = apart["seconds"][ALL_FORMED]
    faster = figures["norms_by_vmap_over_norms"] = apart["ratio"][ALL_FORMED]
    megabytes = {name: p.temporary_bytes / 1e6 for name, p in programs.items()}
    for name in CONTENDERS:
        seconds, ratio = figures["seconds"][name], figures["ratio"].get(name)
        line = f"{name:<28}{1e3 * seconds['median']:9.1f} ms {megabytes[name]:8.1f} MB"
        if ratio is not None:
            quartiles = f"{ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f}"
            goal = f", goal {GOALS[name]}" if name in GOALS else ""
            line += f"   {ratio['median']:.2f} times the gradient ({quartiles}){goal}"
        print(line)
    spread = f"{faster['quartile_1']:.1f} to {faster['quartile_3']:.1f}"
    print(f"{NORMS}: {faster['median']:.1f} times as fast as {ALL_FORMED} ({spread}), goal 10")
    if options.json:
        record = result(
            f"python benchmarks/statistics_cost.py --repeats {options.repeats}",
            jax.devices()[0],
            options.repeats,
            what=f"784-1024-1024-10, ReLU, batch {BATCH}, float32",
            load_before=load,
            goals=GOALS,
            temporary_megabytes=megabytes,
            **figures,
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
