"""Networks with their tapes, and every example's gradient by JAX, to hold statistics against."""

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import (
    BatchNorm,
    Categories,
    Dense,
    Dropout,
    Residual,
    Sequential,
    apply,
    get_loss,
    loss_and_tape,
    mlp,
)

N, I, C = 8, 5, 3  # noqa: E741
LOSS = get_loss("softmax_cross_entropy")
KEY = jax.random.key(1)
EMBEDDED = Sequential((Categories(I - 2, (4, 3), (2, 0)), Dense(4, "tanh"), Dense(C)))
NETWORKS = {
    "dense": mlp([6, 4], C, "tanh"),
    "no bias": Sequential((Dense(4, "silu", bias=False), Dense(C, bias=False))),
    "residual": Sequential(
        (Residual(Dense(I, "gelu")), Residual(Dense(4, "elu"), Dense(4)), Dense(C))
    ),
    "layer norm": mlp([4], C, "tanh", norm="layer"),
    "dropout": Sequential((Dense(6, "tanh"), Dropout(0.4), Dense(C))),
    "categories": EMBEDDED,
    "batch norm in inference": Sequential((Dense(4), BatchNorm(), Dense(C))),
}
WEIGHTS = np.array([1.0, 0, 2, 0, 0.5, 1, 0, 3])


class Case:
    """A network with its tape, and every example's gradient by JAX, each (N, …)."""

    def __init__(self, name, dtype="float64", n=N, seed=0):
        rng = np.random.default_rng(seed)
        self.network = NETWORKS[name]
        shapes = jax.eval_shape(lambda key: self.network.init(key, I), KEY)

        def noise(path, leaf):
            spread = np.abs if "variance" in str(path[-1]) else np.asarray
            return jnp.asarray(spread(rng.normal(0.2, 0.6, leaf.shape)), dtype)

        self.params, self.state = jax.tree_util.tree_map_with_path(noise, shapes)
        x, self.y = rng.normal(size=(n, I)), jnp.asarray(rng.integers(0, C, n))
        if name == "categories":
            x[:, -2:] = rng.integers(0, 4, (n, 2))  # some codes twice, some unknown
        self.x = jnp.asarray(x, dtype)
        self.train = not self.network.has_state
        self.key = KEY if self.network.draws else None
        _, self.grads, self.tape = loss_and_tape(self.network, LOSS, train=self.train)(
            self.params, self.x, self.y, state=self.state, key=self.key
        )

    def apart(self):
        """One example is the batch weighted 1-hot: dropout draws its mask for the batch."""
        wide = jax.tree.map(lambda v: np.asarray(v, np.float64), (self.params, self.state, self.x))

        def one(params, state, x, hot):
            output = apply(self.network, params, x, state=state, train=self.train, key=self.key)
            return hot @ LOSS.value(output, self.y)

        with jax.enable_x64(True):
            each = jax.jit(jax.vmap(jax.grad(one), in_axes=(None, None, None, 0)))
            found = each(*jax.tree.map(jnp.asarray, wide), jnp.eye(len(self.x)))
            return jax.tree.map(np.asarray, found)

    def flat(self):
        """(N, P)."""
        each = jax.tree.leaves(self.apart())
        return np.hstack([g.reshape(len(self.x), -1) for g in each])


def summed_squares(g):
    return np.sum(g**2, axis=tuple(range(1, g.ndim)))
