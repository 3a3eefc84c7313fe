"""What the JAX contenders share: precision, the optimizer, and the loss of a batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlp_jax.model.precision import PRECISIONS
from trainers.contenders.base import Contender
from trainers.problem import BETAS, EPSILON, LEARNING_RATE, Problem


def adam() -> optax.GradientTransformation:
    """Adam at the constants of all contenders."""
    return optax.adam(LEARNING_RATE, *BETAS, EPSILON)


def mean_loss(output: Any, y: Any) -> Any:
    """Optax's cross-entropy: sigmoid for one output, softmax for more."""
    output = output.astype(jnp.float32)
    if output.shape[1] == 1:
        return optax.sigmoid_binary_cross_entropy(output[:, 0], y).mean()
    return optax.softmax_cross_entropy_with_integer_labels(output, y).mean()


class LoopContender(Contender):
    """Batches are NumPy's, as a guide's data loader gives them, one jitted step each."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        jax.config.update(
            "jax_default_matmul_precision", PRECISIONS[problem.point.precision].matmul
        )
        self.products = PRECISIONS[problem.point.precision].products
        self.x, self.y = np.array(problem.inputs), np.array(problem.y)
        self.start()

    def train(self, order: np.ndarray) -> None:
        """Step after step."""
        for rows in self.batches(order):
            self.step(self.x[rows], self.y[rows])
        jax.block_until_ready(self.state())

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One jitted update."""
        raise NotImplementedError

    def state(self) -> Any:
        """What the next step would take, to wait for."""
        raise NotImplementedError


class ScanContender(LoopContender):
    """Rows on the device, the epoch one compiled call: a scan over whole batches and a short one.

    `update(carry, x, y) -> carry` is the step of the guide as a pure function; the carry is
    donated.
    """

    carry: Any

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.x, self.y = jax.device_put((self.x, self.y))
        self.compiled = jax.jit(self._epoch, donate_argnums=0)

    def indices(self, order: np.ndarray) -> Any:
        """int32 on the device."""
        return jnp.asarray(order, jnp.int32)

    def train(self, order: Any) -> None:
        """One call."""
        self.carry = jax.block_until_ready(self.compiled(self.carry, self.x, self.y, order))

    def _epoch(self, carry: Any, x: Any, y: Any, order: Any) -> Any:
        size = self.problem.point.batch
        whole = len(order) // size * size

        def body(carry: Any, rows: Any) -> tuple[Any, None]:
            return self.update(carry, x[rows], y[rows]), None

        carry, _ = jax.lax.scan(body, carry, order[:whole].reshape(-1, size))
        rest = order[whole:]
        return self.update(carry, x[rest], y[rest]) if len(rest) else carry

    def update(self, carry: Any, x: Any, y: Any) -> Any:
        """One update."""
        raise NotImplementedError
