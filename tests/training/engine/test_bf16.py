"""Products in bfloat16 with parameters and sums in float32 train as float32 does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Dense, Sequential, get_loss, mlp, value_and_grad
from mlp_jax.data import load_digits, split
from mlp_jax.training import fit

pytestmark = pytest.mark.usefixtures("optax_promotes", "unproved")


@pytest.fixture(scope="module")
def rows():
    return split(load_digits(), test=0.2, validation=0.1, seed=0)


def test_bf16_and_float32_agree_within_bounds(rows):
    runs = {
        precision: fit(
            mlp([64, 64], 10, "gelu"), "softmax_cross_entropy", "adam", rows.train, epochs=15,
            validation=rows.validation, precision=precision,
        )
        for precision in ("float32", "bf16")
    }  # fmt: skip
    losses = {name: [r["train_loss"] for r in run.history] for name, run in runs.items()}
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bf16"] != losses["float32"]
    accuracy = {n: run.evaluate(rows.test, ["accuracy"])["accuracy"] for n, run in runs.items()}
    assert accuracy["bf16"] == pytest.approx(accuracy["float32"], abs=0.015)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(runs["bf16"].params))


def test_a_sum_of_many_small_gradients_is_not_lost_in_bf16():
    """4096 equal rows: a sum in bfloat16 would stop at 256, and the bias gradient with it."""
    x, y = np.ones((4096, 1), np.float32), np.full((4096, 1), 3.0, np.float32)
    network = Sequential((Dense(1),))
    params = ({"W": jnp.zeros((1, 1), jnp.bfloat16), "b": jnp.zeros((1,), jnp.float32)},)
    _, (grads,) = value_and_grad(network, get_loss("squared_error"))(params, x, y)
    assert float(grads["b"][0]) == pytest.approx(-6.0, rel=1e-2)
    assert float(grads["W"][0, 0]) == pytest.approx(-6.0, rel=1e-2)
