"""What the statistics of the tape and the curvature cost, as ratios to the plain gradient.

784-1024-1024-10 with ReLU, batch 512, float32, synthetic data. Each contender is one compiled
program that returns the gradient and its statistic; they run in turn, A B A B, in one process. The
clipped gradient stands in place of the plain one. `vmap(grad)` forms every example's gradient, 2 GB
whose coming and going would disturb the others: it takes turns with gradient and norms alone.
BackPACK and Opacus, where installed, take turns with PyTorch's own gradient in a process of their
own. Whoever is measured has been compared first.

    python benchmarks/statistics_cost.py --repeats 15 --json benchmarks/results/statistics_cost.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import (
    apply,
    clip_per_example,
    gauss_newton_diagonal,
    gauss_newton_product,
    get_loss,
    gram_matrix,
    hessian_product,
    kronecker_factors,
    loss_and_sampled_tape,
    loss_and_tape,
    mlp,
    second_moment,
    squared_norms,
    value_and_grad,
)
from mlp_jax.bench.measuring import REPEATS, Compiled, compare_times, compiled, interleaved
from mlp_jax.bench.results import check_places, result, write_result

N_IN, HIDDEN, N_OUT, BATCH = 784, (1024, 1024), 10, 512
NETWORK, LOSS = mlp(HIDDEN, N_OUT), get_loss("softmax_cross_entropy")
PLAIN, NORMS, ALL_FORMED = "gradient", "gradient and norms", "norms by vmap(grad)"
MOMENT, CLIPPED, FACTORS = (
    "gradient and second moment", "clipped gradient", "gradient and Kronecker factors"
)  # fmt: skip
DIAGONAL, SAMPLED = "gradient and Gauss-Newton diagonal", "gradient and sampled diagonal"
PRODUCT = "gradient and Hessian product"
GOALS = {NORMS: 1.1, CLIPPED: 1.15, MOMENT: 1.5, "gradient and Gram matrix": 1.6, FACTORS: 2.4}
TURNS = (NORMS, ALL_FORMED)
FEW = 4  # rows that the diagonal is compared on
DRAW = jax.random.key(5)

manual, taped = value_and_grad(NETWORK, LOSS), loss_and_tape(NETWORK, LOSS)
sampled = loss_and_sampled_tape(NETWORK, LOSS)
diagonal, product = gauss_newton_diagonal(NETWORK, LOSS), hessian_product(NETWORK, LOSS)
bent = gauss_newton_product(NETWORK, LOSS)
Step = Callable[..., Any]


def beside(statistic: Callable[[Any], Any]) -> Step:
    """The gradient and a statistic of its tape, as one function to compile."""

    def step(params: Any, vector: Any, x: jax.Array, y: jax.Array) -> Any:
        value, grads, tape = taped(params, x, y)
        return value, grads, statistic(tape)

    return step


def beside_drawn(statistic: Callable[[Any], Any]) -> Step:
    """The gradient, and a statistic of the tape of drawn targets."""

    def step(params: Any, vector: Any, x: jax.Array, y: jax.Array) -> Any:
        value, grads, tape = sampled(params, x, y, DRAW)
        return value, grads, statistic(tape)

    return step


def shares() -> jax.Array:
    return jnp.full(BATCH, 1 / BATCH, jnp.float32)


def clipped(params: Any, vector: Any, x: jax.Array, y: jax.Array) -> Any:
    value, _, tape = taped(params, x, y)
    return value, clip_per_example(tape, 1.0, shares())


def by_vmap(params: Any, vector: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    each = jax.vmap(jax.grad(one_loss), in_axes=(None, 0, 0))(params, x, y)
    return sum(jnp.sum(g.reshape(len(x), -1) ** 2, axis=1) for g in jax.tree.leaves(each))


def one_loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return LOSS.value(apply(NETWORK, params, x[None]), y[None])[0]


CONTENDERS: dict[str, Step] = {
    PLAIN: lambda params, vector, x, y: manual(params, x, y),
    NORMS: beside(squared_norms),
    CLIPPED: clipped,
    MOMENT: beside(second_moment),
    "gradient and Gram matrix": beside(gram_matrix),
    FACTORS: beside_drawn(kronecker_factors),
    SAMPLED: beside_drawn(lambda tape: second_moment(tape, shares())),
    DIAGONAL: lambda params, vector, x, y: (manual(params, x, y), diagonal(params, x, y)),
    PRODUCT: lambda params, vector, x, y: (manual(params, x, y), product(params, vector, x, y)),
    "gradient and Gauss-Newton product": lambda params, vector, x, y: (
        manual(params, x, y), bent(params, vector, x, y),
    ),
    ALL_FORMED: by_vmap,
}  # fmt: skip


def close(name: str, ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """Stops before anything is timed where two trees differ, leaf by leaf."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        away = float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
        if not away <= tolerance:
            raise SystemExit(f"{name} is {away:.1e} from what JAX gives.")


def checked(found: dict[str, Any], params: Any, vector: Any, x: jax.Array, y: jax.Array) -> None:
    """Compares what the contenders gave with JAX's own derivatives."""

    @jax.jit
    def mean_loss(params: Any) -> jax.Array:
        return jnp.mean(LOSS.value(apply(NETWORK, params, x), y))

    close("The gradient", found[PLAIN][1], jax.grad(mean_loss)(params))
    close("The norms", found[NORMS][2], found[ALL_FORMED])
    _, along = jax.jvp(jax.grad(mean_loss), (params,), (vector,))
    close("The Hessian product", found[PRODUCT][1], along)
    close("The factor A", found[FACTORS][2][1].A[:-1, :-1], hidden_moment(params, x))
    p = jax.nn.softmax(apply(NETWORK, params, x[:FEW]), axis=1)
    each = jax.jit(jax.grad(one_loss))
    expected = jax.tree.map(jnp.zeros_like, params)
    for n in range(FEW):
        for label in range(N_OUT):
            g = each(params, x[n], jnp.asarray(label))
            expected = jax.tree.map(lambda e, g, w=p[n, label] / FEW: e + w * g**2, expected, g)
    close("The diagonal", diagonal(params, x[:FEW], y[:FEW]), expected)
    draws = jax.random.split(DRAW, 100)
    tapes = [second_moment(sampled(params, x, y, draw)[2], shares()) for draw in draws]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(draws), *tapes)
    close("The sampled diagonal", mean, found[DIAGONAL][1], 0.05)


def hidden_moment(params: Any, x: jax.Array) -> jax.Array:
    a = jax.nn.relu(x @ params[0]["W"] + params[0]["b"])
    return a.T @ a / len(x)


def by_torch(found: dict[str, Any], params: Any, vector: Any, x: Any, y: Any, repeats: int) -> Any:
    """BackPACK and Opacus, compared with what the contenders gave, in a process of their own."""
    arrays: dict[str, Any] = {"x": x, "y": y, "norms": found[NORMS][2]}
    arrays["factor"] = hidden_moment(params, x)
    trees = {
        "W": params, "vW": vector, "gradient": found[PLAIN][1], "moment": found[MOMENT][2],
        "diagonal": found[DIAGONAL][1], "product": found[PRODUCT][1],
    }  # fmt: skip
    trees["clipped"] = jax.tree.map(lambda g: g * BATCH, found[CLIPPED][1].grads)
    for name, tree in trees.items():
        arrays |= {f"{name}{number}": layer["W"] for number, layer in enumerate(tree)}
    for name, tree in (("b", params), ("vb", vector)):
        arrays |= {f"{name}{number}": layer["b"] for number, layer in enumerate(tree)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        np.savez(path, **{name: np.asarray(v) for name, v in arrays.items()})
        script = Path(__file__).with_name("statistics_torch.py")
        ended = subprocess.run(
            [sys.executable, str(script), str(path), str(repeats)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return json.loads(ended.stdout.splitlines()[-1])


def line(name: str, figures: dict[str, Any], megabytes: float | None, goal: float | None) -> str:
    """A contender's row of the table in the terminal."""
    seconds, ratio = figures["seconds"][name], figures["ratio"].get(name)
    memory = "" if megabytes is None else f"{megabytes:8.1f} MB"
    text = f"{name:<44}{1e3 * seconds['median']:9.1f} ms {memory:>11}"
    if ratio is None:
        return text
    quartiles = f"{ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f}"
    text += f"   {ratio['median']:.2f} times the gradient ({quartiles})"
    return text if goal is None else f"{text}, goal {goal}"


def measured(
    programs: dict[str, Compiled], arguments: tuple[Any, ...], repeats: int
) -> dict[str, Any]:
    """Seconds and ratios; who forms every gradient takes turns with the norms alone."""
    runs = {name: (lambda p=p: p.call(*arguments)) for name, p in programs.items()}
    formed = {name: runs.pop(name) if name == ALL_FORMED else runs[name] for name in TURNS}
    figures = compare_times(interleaved(runs, repeats), PLAIN)
    apart = compare_times(interleaved(formed, repeats), NORMS)
    figures["seconds"][ALL_FORMED] = apart["seconds"][ALL_FORMED]
    return {**figures, "norms_by_vmap_over_norms": apart["ratio"][ALL_FORMED]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    check_places(options.json, None)
    load = os.getloadavg()[0]
    rng = np.random.default_rng(0)
    params, _ = NETWORK.init(jax.random.key(0), N_IN)
    vector = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), params)
    x = jnp.asarray(rng.normal(size=(BATCH, N_IN)), jnp.float32)
    y = jnp.asarray(rng.integers(0, N_OUT, BATCH), jnp.int32)
    arguments = (params, vector, x, y)
    programs = {name: compiled(step, *arguments) for name, step in CONTENDERS.items()}
    found = {name: program.call(*arguments) for name, program in programs.items()}
    checked(found, *arguments)
    figures = measured(programs, arguments, options.repeats)
    torch = by_torch(found, *arguments, options.repeats)
    megabytes = {name: p.temporary_bytes / 1e6 for name, p in programs.items()}
    for name in CONTENDERS:
        print(line(name, figures, megabytes[name], GOALS.get(name)))
    faster = figures["norms_by_vmap_over_norms"]
    spread = f"{faster['quartile_1']:.1f} to {faster['quartile_3']:.1f}"
    print(f"{NORMS}: {faster['median']:.1f} times as fast as {ALL_FORMED} ({spread}), goal 10")
    print("PyTorch, beside its own gradient:")
    for name in torch.get("seconds", {}):
        print(line(name, torch, None, None))
    for name, reason in torch["missing"].items():
        print(f"{name}: {reason}")
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
            pytorch=torch,
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
