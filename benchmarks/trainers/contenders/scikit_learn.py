"""scikit-learn's MLPClassifier: its own `fit`, held at the start of every epoch.

`fit` asks its random state to shuffle once an epoch. The one given here writes the order that is
wanted and waits there in between, so what is timed is the loop that users run, from one shuffle to
the next.
"""

import queue
import threading
import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from trainers.contenders.base import Contender
from trainers.problem import BETAS, EPSILON, LEARNING_RATE, Problem, Weights

_END = None


class _GivenOrder(np.random.RandomState):
    """A random state whose shuffle is the next order of the queue."""

    def __init__(self) -> None:
        super().__init__(0)
        self.orders: queue.Queue[np.ndarray | None] = queue.Queue()
        self.ended: queue.Queue[BaseException | None] = queue.Queue()

    def shuffle(self, x: Any) -> None:
        """Say that the epoch before has ended; take the next order."""
        self.ended.put(None)
        order = self.orders.get()
        if order is _END:
            raise KeyboardInterrupt  # which `fit` takes as the wish to stop, and keeps its weights
        x[:] = order


class Trainer(Contender):
    """Adam at the constants of the others, no penalty, never early."""

    precisions = ("float32",)

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.thread: threading.Thread | None = None
        self.x, self.y = problem.inputs, problem.y.astype(np.int32)

    def start(self) -> None:
        """A new `fit` over all rows, waiting for its first order."""
        self._make()
        self.thread = threading.Thread(target=self._fit, daemon=True)
        self.thread.start()
        self._wait()

    def trial(self, rows: np.ndarray) -> None:
        """A `partial_fit` a batch: a batch need not have all classes, as a `fit` would ask for."""
        self._make()
        self.model.warm_start = False
        for batch in self.batches(rows):
            self._partial_fit(batch)

    def _make(self) -> None:
        """The model at the problem's weights."""
        self._stop()
        problem, point = self.problem, self.problem.point
        self.order = _GivenOrder()
        self.model = MLPClassifier(
            point.widths[1:-1],
            batch_size=point.batch,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETAS[0],
            beta_2=BETAS[1],
            epsilon=EPSILON,
            alpha=0.0,
            warm_start=True,
            max_iter=10**9,
            n_iter_no_change=10**9,
            random_state=self.order,
        )
        _, one_of_each = np.unique(self.y, return_index=True)
        self._partial_fit(one_of_each)  # makes the arrays
        del self.model._optimizer
        for layer, (W, b) in enumerate(problem.weights):
            self.model.coefs_[layer][...] = W
            self.model.intercepts_[layer][...] = b

    def _partial_fit(self, rows: np.ndarray) -> None:
        self.order.orders.put(np.arange(len(rows)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.partial_fit(self.x[rows], self.y[rows], classes=np.unique(self.y))
        self.order.ended.get()

    def _fit(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.model.fit(self.x, self.y)
        except BaseException as error:  # handed to the thread that waits
            self.order.ended.put(error)

    def _wait(self) -> None:
        error = self.order.ended.get()
        if error is not None:
            raise error

    def train(self, order: np.ndarray) -> None:
        """Hand over an order and wait until `fit` asks for the next."""
        self.order.orders.put(order)
        self._wait()

    def weights(self) -> Weights:
        """`coefs_` and `intercepts_`."""
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [(W.copy(), b.copy()) for W, b in pairs]

    def _stop(self) -> None:
        if self.thread is not None:
            self.order.orders.put(_END)
            self.thread.join()
            self.thread = None
