"""What a contender is: something that trains a `Problem` from given weights in a given order."""

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from trainers.problem import Problem, Weights


class UnsupportedError(Exception):
    """This contender cannot take part here; the message says why."""


class Contender(ABC):
    """One trainer. A module of this package has one subclass, of the name `Trainer`.

    Made once for each point of the grid; `start` puts it back to the weights to start from.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32", "bf16")

    def __init__(self, problem: Problem) -> None:
        if problem.point.precision not in self.precisions:
            raise UnsupportedError(f"has no {problem.point.precision}")
        self.problem = problem
        self.orders: list[Any] = []

    @abstractmethod
    def start(self) -> None:
        """Begin at the problem's weights, with a new optimizer."""

    @abstractmethod
    def train(self, order: Any) -> None:
        """Walk the batches of an order, the last one as short as it is, and wait for the end."""

    @abstractmethod
    def weights(self) -> Weights:
        """W (I, J) and b (J,) of each layer."""

    def indices(self, order: np.ndarray) -> Any:
        """An order of rows as this library takes it."""
        return order

    def trial(self, rows: np.ndarray) -> None:
        """The first steps, over these rows, which are compared before anything is timed."""
        self.start()
        self.train(self.indices(rows))

    def take_orders(self, orders: np.ndarray) -> None:
        """The orders of the epochs to come, one a row."""
        self.orders = [self.indices(order) for order in orders]

    def epoch(self, number: int) -> dict[str, float]:
        """One whole epoch: {"seconds": …}."""
        order = self.orders[number % len(self.orders)]
        started = time.perf_counter()
        self.train(order)
        return {"seconds": time.perf_counter() - started}

    def batches(self, order: Any) -> list[Any]:
        """The order cut into batches."""
        size = self.problem.point.batch
        return [order[first : first + size] for first in range(0, len(order), size)]
