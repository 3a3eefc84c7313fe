"""mlp-jax: the compiled epoch as `fit` runs it; its order is drawn in the time measured."""

import time

import jax
import numpy as np

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data import Split
from mlp_jax.model.precision import PRECISIONS
from mlp_jax.training.compile import compile_calls
from mlp_jax.training.engine.batches import DeviceData, epoch_order
from mlp_jax.training.engine.epoch import walk
from mlp_jax.training.engine.program import Program, initial_state
from mlp_jax.training.input.loaders import InMemoryLoader
from mlp_jax.training.input.placement import place
from mlp_jax.training.optim.optimizers import Optimizer
from trainers.contenders.base import Contender
from trainers.problem import LEARNING_RATE, Problem, Weights

SEED = np.uint32(0)


def epoch_orders(problem: Problem, epochs: int) -> np.ndarray:
    """The rows in the order that mlp-jax draws for its epochs from 0 on, (epochs, N)."""
    point = problem.point
    drawn = [epoch_order(SEED, np.int32(k), point.rows, point.batch) for k in range(epochs)]
    return np.stack([np.asarray(order).reshape(-1)[: point.rows] for order in drawn])


class Trainer(Contender):
    """`run_steps` with the program that `fit` makes for Adam."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        point = problem.point
        self.policy = PRECISIONS[point.precision]
        name = "sigmoid_cross_entropy" if problem.binary else "softmax_cross_entropy"
        self.program = Program(
            mlp(point.widths[1:-1], point.widths[-1]),
            get_loss(name),
            Optimizer("adam", LEARNING_RATE).build(point.steps),
            point.batch,
            self.policy.params,
            self.policy.products,
            doubt_updates=False,
            guarded=False,
            transposed=jax.default_backend() == "cpu",
        )
        self.data = self._placed(np.arange(point.rows))
        self.start()
        with self.policy.active():
            self.calls = compile_calls(
                self.program, self.state, InMemoryLoader(self.data, point.batch), SEED
            )

    def _placed(self, rows: np.ndarray) -> DeviceData:
        problem = self.problem
        data = Split(problem.raw[rows], np.asarray(problem.y[rows]))
        return place(data, None, problem.scaling, np.float32)

    def start(self) -> None:
        """Step 0 with the problem's weights."""
        params = tuple({"W": W, "b": b} for W, b in self.problem.weights)
        state = self.program.network.without_state()
        n_in = self.problem.point.widths[0]
        self.state = initial_state(self.program, SEED, n_in, (params, state))

    def trial(self, rows: np.ndarray) -> None:
        """The rows of the trial as a data set of their own, walked as an epoch is."""
        self.start()
        order = np.arange(len(rows), dtype=np.int32)
        order = np.concatenate([order, order[: -len(rows) % self.program.batch_size]])
        steps = len(order) // self.program.batch_size
        with self.policy.active():
            self.state, _ = jax.jit(walk, static_argnums=0)(
                self.program,
                self.state,
                self._placed(rows),
                order.reshape(steps, -1),
                np.int32(0),
                SEED,
            )

    def epoch(self, number: int) -> dict[str, float]:
        """Order, calls and one transfer a call, as the loop of `fit` has them."""
        started = time.perf_counter()
        self.train(number % len(self.orders))
        return {"seconds": time.perf_counter() - started}

    def train(self, order: int) -> None:
        """The epoch of that number."""
        point, length = self.problem.point, next(iter(self.calls))
        with self.policy.active():
            for first in range(0, point.steps, length):
                call = self.calls[min(length, point.steps - first)]
                where = (SEED, np.int32(order), np.int32(first))
                self.state, totals = call(self.state, self.data, *where)
                jax.device_get((totals, self.state.alive))

    def weights(self) -> Weights:
        """From the state's parameters."""
        return [(np.asarray(p["W"]), np.asarray(p["b"])) for p in self.state.params]
