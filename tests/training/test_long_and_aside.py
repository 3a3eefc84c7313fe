"""Trainings at the edges: long after they have converged, by tiny steps, in another thread."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import labelled

from mlp_jax import mlp
from mlp_jax.cli.main import main
from mlp_jax.training.fit import fit
from mlp_jax.training.optim.optimizers import Optimizer

X, Y = labelled(40)


@pytest.mark.usefixtures("unproved", "optax_promotes")
@pytest.mark.parametrize("name", ["squared_error", "huber"])
def test_l_bfgs_in_float32_stays_where_it_has_converged(name):
    """40 rows of a linear function: the least loss is 0, which a tenth of the epochs reach."""
    y = (X @ np.array([1.0, -2.0, 0.5, 3.0], np.float32))[:, None]
    fitted = fit(mlp([], 1), name, "lbfgs", (X, y), epochs=150)
    losses = [record["train_loss"] for record in fitted.history]
    assert max(losses[30:]) < 1e-10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted.params))


@pytest.mark.usefixtures("unproved")
def test_steps_below_the_resolution_of_bf16_add_up():
    """The weights are float32: a hundred steps of 1e-6 along a gradient that hardly changes."""
    network, seen = mlp([6], 3, "tanh"), []
    fit(
        network, "softmax_cross_entropy", Optimizer("sgd", 1e-6), (X, Y), epochs=100,
        batch_size=40, precision="bf16",
        callbacks=[lambda end: seen.append(jax.device_get(end.state.params))],
    )  # fmt: skip
    first, last = (seen[at][1]["b"] for at in (0, -1))
    params = jax.tree.map(jnp.asarray, seen[0])

    def loss(params):
        a = jnp.tanh(X @ params[0]["W"] + params[0]["b"])
        log_p = jax.nn.log_softmax(a @ params[1]["W"] + params[1]["b"])
        return -jnp.mean(log_p[jnp.arange(len(Y)), Y])

    with jax.numpy_rank_promotion("allow"):
        gradient = jax.grad(loss)(params)[1]["b"]
    np.testing.assert_allclose(last - first, -99e-6 * gradient, rtol=0.1, atol=5e-7)


def test_a_command_trains_in_a_thread_that_is_not_the_main_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = []

    def work():
        # The settings of JAX are a thread's own.
        promotes = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
        try:
            with promotes[0], promotes[1]:
                main(["train", "--data", "iris", "--hidden", "4", "--epochs", "2", "--out", "run"])
        except SystemExit as ended:
            codes.append(ended.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [0]
    assert (tmp_path / "run" / "model" / "model.json").exists()
