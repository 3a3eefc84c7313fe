"""Not a contender: how fast this machine multiplies and copies, measured between the epochs.

The rate of products is that of the faster of NumPy's BLAS and XLA on square matrices, the rate of
copies that of an array as large as the weights. Both are what a floor is divided by.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.model.precision import PRECISIONS
from trainers.contenders.base import Contender
from trainers.problem import Problem, Weights

_CPU_SIDE, _GPU_SIDE = 2048, 8192
_SAMPLE = 0.05
_SMALLEST_SHARE = 1 << 18  # bytes a thread, below which handing out the work costs more


def best_rate(work: float, run: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """The highest of three rates, each over calls that last _SAMPLE seconds together."""
    rates = []
    wait(run())
    started = time.perf_counter()
    wait(run())
    calls = max(1, round(_SAMPLE / max(time.perf_counter() - started, 1e-9)))
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(calls):
            out = run()
        wait(out)
        rates.append(calls * work / (time.perf_counter() - started))
    return max(rates)


class Trainer(Contender):
    """An epoch is a measurement: {"product_rate": FLOP/s, "copy_rate": bytes/s}."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        policy = PRECISIONS[problem.point.precision]
        jax.config.update("jax_default_matmul_precision", policy.matmul)
        self.gpu = jax.default_backend() == "gpu"
        self.side = _GPU_SIDE if self.gpu else _CPU_SIDE
        rng = np.random.default_rng(0)
        self.matrix = rng.standard_normal((self.side, self.side), dtype=np.float32)
        self.square = jnp.asarray(self.matrix, policy.products)
        self.product = jax.jit(lambda a: jnp.matmul(a, a, preferred_element_type=jnp.float32))
        self.copied = np.zeros(problem.point.parameters, np.float32)
        self.target = np.empty_like(self.copied)
        self.threads = ThreadPoolExecutor(os.cpu_count())

    def epoch(self, number: int) -> dict[str, float]:
        """Both rates."""
        return {"product_rate": self.product_rate(), "copy_rate": self.copy_rate()}

    def product_rate(self) -> float:
        """FLOP/s of a square product."""
        work = 2.0 * self.side**3
        rates = [best_rate(work, lambda: self.product(self.square), jax.block_until_ready)]
        if not self.gpu and self.problem.point.precision == "float32":
            rates.append(best_rate(work, lambda: self.matrix @ self.matrix, lambda out: out))
        return max(rates)

    def copy_rate(self) -> float:
        """Bytes read and written a second."""
        work = 2.0 * self.copied.nbytes
        if self.gpu:
            on_device = jnp.asarray(self.copied)
            copy = jax.jit(jnp.copy)
            return best_rate(work, lambda: copy(on_device), jax.block_until_ready)
        rates = [best_rate(work, lambda: np.copyto(self.target, self.copied), lambda out: out)]
        shares = os.cpu_count() or 1
        if self.copied.nbytes >= shares * _SMALLEST_SHARE:
            pairs = list(
                zip(
                    np.array_split(self.target, shares),
                    np.array_split(self.copied, shares),
                    strict=True,
                )
            )
            rates.append(
                best_rate(
                    work,
                    lambda: list(self.threads.map(lambda pair: np.copyto(*pair), pairs)),
                    lambda out: out,
                )
            )
        return max(rates)

    def start(self) -> None:
        """There is nothing to begin."""

    def train(self, order: Any) -> None:
        """There is nothing to train."""

    def weights(self) -> Weights:
        """None."""
        return []
