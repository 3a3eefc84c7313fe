"""The proof of a training on many devices compares their gradient with that of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import fit, mlp
from mlp_jax.backprop import get_loss
from mlp_jax.errors import ProofError
from mlp_jax.proof import check_gradients
from mlp_jax.training.mesh import sharded_gradient
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.mesh.mesh_shape import choose_layout

NETWORK = mlp((16, 16, 12), 3, "gelu", norm="layer", dropout=0.2)


def layout(mesh):
    return choose_layout(None, mesh, False, jax.devices("cpu")[0], 16)


def rows(n=16):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 5)), rng.integers(0, 3, n).astype(np.int32)


def checked(network, mesh, split=sharded_gradient.split_gradient, dtypes=("float64",)):
    params, state = network.init(jax.random.key(0), 5)
    loss = get_loss("softmax_cross_entropy")
    return check_gradients(
        network, loss, params, rows(), state=state, dtypes=dtypes,
        split=lambda *arguments: split(layout(mesh), *arguments),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mesh", "dtypes"), [("data=3,model=2", ("float64",)), ("data=2,model=4", ("bfloat16",))]
)
def test_each_parameter_in_both_modes_is_compared(mesh, dtypes):
    report = checked(NETWORK, mesh, dtypes=dtypes)
    assert report.ok, report.fault
    found = [row for row in report.rows if row.witness == "one_device"]
    parameters = len(jax.tree.leaves(NETWORK.init(jax.random.key(0), 5)[0]))
    assert len(found) == 2 * parameters
    assert "one device" in str(report)


def test_batch_norm_mixes_the_examples_of_all_devices():
    report = checked(mlp((8,), 3, "relu", norm="batch"), "data=8,model=1")
    assert report.ok, report.fault


def forgotten_sum(layout, network, loss, train, params, state, x, y, c, mask, seed):
    """Each device contracts its own examples and nobody adds up: the first device's share."""
    share = np.arange(len(x)) < len(x) // layout.data
    own = np.where(share, c, 0).astype(c.dtype)
    return sharded_gradient.split_gradient(
        layout, network, loss, train, params, state, x, y, own, mask, seed
    )


def test_a_sum_over_the_devices_that_is_forgotten_is_found():
    report = checked(NETWORK, "data=4", forgotten_sum)
    assert not report.ok
    assert report.fault.witness == "one_device"
    assert "by one device" in str(report.fault)


def test_a_fit_on_a_mesh_proves_it_and_stops_where_it_fails(monkeypatch, optax_promotes):
    how = {"epochs": 1, "batch_size": 8, "mesh": "data=2,model=2"}
    network = mlp((8, 8), 3, "tanh")
    found = fit(network, "softmax_cross_entropy", "sgd", rows(), **how).report
    assert {row.dtype for row in found.rows if row.witness == "one_device"} == {
        "float64", "float32",
    }  # fmt: skip
    monkeypatch.setattr("mlp_jax.training.plan.split_gradient", forgotten_sum)
    with pytest.raises(ProofError):
        fit(network, "softmax_cross_entropy", "sgd", rows(), **how)


def test_the_devices_hold_their_part_and_no_more():
    over = layout("data=2,model=4")
    params, state = NETWORK.init(jax.random.key(0), 5)
    where, _ = over.parameter_shardings(NETWORK, params, state)
    placed = jax.device_put(params, where)
    shapes = [leaf["W"].addressable_shards[0].data.shape for leaf in placed if "W" in leaf]
    assert shapes == [(5, 4), (4, 16), (16, 3), (3, 3)]
    assert placed[0]["b"].addressable_shards[0].data.shape == (4,)
    assert isinstance(over, Layout)
    assert jnp.allclose(placed[0]["W"], params[0]["W"])
