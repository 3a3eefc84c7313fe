"""What the hand-written gradient costs beside `jax.grad` of the same network and loss.

Correctness first: nothing is timed that disagrees. Then compiled FLOPs and temporary memory, and
the time of the gradient, interleaved A B A B, each sample at least 20 ms long.

    python benchmarks/gradient_cost.py --rounds 30 --json benchmarks/results/gradient_cost.json
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from machine import describe, median_and_quartiles

from mlp_jax import apply, get_loss, mlp
from mlp_jax.backprop.gradient import forward_backward, mean_weights

NETWORKS = {
    "784-512-512-10, batch 128": ((512, 512), 128),
    "784-100-10, batch 200": ((100,), 200),
    "784-1024-1024-1024-10, batch 1024": ((1024, 1024, 1024), 1024),
}
ACTIVATIONS = ("relu", "tanh", "softplus", "gelu")
SAMPLE = 0.02


def gradients(hidden: tuple[int, ...], activation: str) -> dict[str, Callable[..., Any]]:
    """Both gradients of the mean loss: (params, x, y) -> (value, grads)."""
    network, loss = mlp(hidden, 10, activation), get_loss("softmax_cross_entropy")

    def manual(params: Any, x: Any, y: Any) -> Any:
        c = mean_weights(len(x), None, jnp.float32)
        state = network.without_state()
        value, _, grads, _ = forward_backward(
            network, loss, True, params, state, x, y, c, None, None
        )
        return value, grads

    def automatic(params: Any, x: Any, y: Any) -> Any:
        return jax.value_and_grad(lambda p: jnp.mean(loss.value(apply(network, p, x), y)))(params)

    return {"manual": manual, "jax.grad": automatic}


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Seconds a call, over `repeats` calls ended by one wait."""
    started = time.perf_counter()
    for _ in range(repeats):
        out = run()
    jax.block_until_ready(out)
    return (time.perf_counter() - started) / repeats


def measure(hidden: tuple[int, ...], batch: int, activation: str, rounds: int) -> dict[str, Any]:
    """Agreement, FLOPs, temporary memory and time of both gradients of one network."""
    network = mlp(hidden, 10, activation)
    params, _ = network.init(jax.random.key(0), 784)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((batch, 784)), jnp.float32)
    y = jnp.asarray(rng.integers(0, 10, batch), jnp.int32)
    compiled = {
        name: jax.jit(f).lower(params, x, y).compile()
        for name, f in gradients(hidden, activation).items()
    }
    ours, theirs = (compiled[name](params, x, y) for name in ("manual", "jax.grad"))
    worst = max(
        float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    )
    if worst > 2e-5:
        raise SystemExit(f"the gradients disagree by {worst:.1e}: nothing to time")
    runs = {name: partial(call, params, x, y) for name, call in compiled.items()}
    repeats = max(1, int(SAMPLE / seconds(runs["jax.grad"], 5)) + 1)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: 1 if number % 2 else -1]:
            times[name].append(seconds(runs[name], repeats))
    ratios = [a / b for a, b in zip(times["manual"], times["jax.grad"], strict=True)]
    cost = {name: call.cost_analysis()["flops"] for name, call in compiled.items()}
    memory = {name: call.memory_analysis().temp_size_in_bytes for name, call in compiled.items()}
    return {
        "disagreement": worst,
        "flops": cost,
        "flops_ratio": cost["manual"] / cost["jax.grad"],
        "temporary_bytes": memory,
        "milliseconds": {k: median_and_quartiles([1e3 * t for t in v]) for k, v in times.items()},
        "time_ratio_of_pairs": median_and_quartiles(ratios),
        "calls_a_sample": repeats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    points = {}
    print(f"{'network':<52}{'FLOPs':>8}{'time':>8}  (quartiles)     {'memory MB':>16}")
    for title, (hidden, batch) in NETWORKS.items():
        for activation in ACTIVATIONS:
            found = measure(hidden, batch, activation, options.rounds)
            points[f"{title}, {activation}"] = found
            ratio, memory = found["time_ratio_of_pairs"], found["temporary_bytes"]
            print(
                f"{title + ', ' + activation:<52}{found['flops_ratio']:>8.4f}"
                f"{ratio['median']:>8.3f}  ({ratio['quartile_1']:.3f} to {ratio['quartile_3']:.3f})"
                f"{memory['manual'] / 1e6:>9.2f} {memory['jax.grad'] / 1e6:>6.2f}",
                flush=True,
            )
    if options.json:
        result = {
            "command": f"python benchmarks/gradient_cost.py --rounds {options.rounds}",
            "machine": describe(),
            "rounds": options.rounds,
            "points": points,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
