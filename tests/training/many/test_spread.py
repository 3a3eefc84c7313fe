"""Many networks spread over the devices: each is what it would be on one."""

import importlib

import jax
import numpy as np
import pytest

from mlp_jax import mlp
from mlp_jax.errors import DeviceError
from mlp_jax.proof import Report
from mlp_jax.training.many.fit import fit_many
from mlp_jax.training.mesh.mesh_shape import member_sharding

pytestmark = pytest.mark.usefixtures("optax_promotes", "unproved")


@pytest.fixture
def unproved(monkeypatch):
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))


def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5))
    return x, (x[:, :2].sum(axis=1) > 0).astype(np.int32)


TANH, RELU = mlp((8,), 2, "tanh", dropout=0.1), mlp((8, 8), 2, "relu")


def trained(count, devices=None, network=TANH, **options):
    rates = np.geomspace(1e-3, 1e-1, count).tolist()
    return fit_many(
        network,
        "softmax_cross_entropy",
        "adam",
        rows(),
        seeds=range(count),
        vary={"learning_rate": rates} | options.pop("vary", {}),
        epochs=3,
        batch_size=16,
        validation=0.2,
        precision="float64",
        devices=devices,
        **options,
    )


def assert_same(found, expected):
    for a, b in zip(found.histories, expected.histories, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
        found.params,
        expected.params,
    )


@pytest.mark.parametrize("shared_order", [True, False])
def test_256_models_on_8_devices_are_those_on_one(shared_order):
    one, eight = (
        trained(256, devices, shared_order=shared_order, patience=1) for devices in (1, 8)
    )
    assert_same(eight, one)


def test_members_with_weights_of_their_own_in_chunks(monkeypatch):
    weights = np.random.default_rng(1).uniform(0, 2, (12, 48))
    how = {"member_weight": weights}
    monkeypatch.setattr("mlp_jax.training.many.fit.chunk_size", lambda *_: 6)
    assert_same(trained(12, 4, **how), trained(12, 1, **how))


def test_a_member_that_diverges_is_masked_and_named():
    rates = [0.01] * 8
    rates[5] = 1e200
    one, four = (trained(8, devices, RELU, vary={"learning_rate": rates}) for devices in (1, 4))
    assert list(four.failures) == list(one.failures) == [5]
    assert "diverged" in four.failures[5]
    assert_same(four, one)


def test_copies_that_fill_up_the_members_are_not_looked_at():
    alone, filled = trained(5, 1), trained(5, 4, multiple=4)
    assert len(filled) == 5
    assert [list(record) for record in filled.history] == [list(r) for r in alone.history]
    for one, other in zip(filled.history, alone.history, strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-12)
    assert_same(filled, alone)


def test_as_many_devices_are_taken_as_divide_the_members():
    first = jax.devices("cpu")[0]
    for devices, count, used in ((8, 256, 8), (8, 12, 6), (4, 7, 1), (8, 7, 7), (None, 8, 1)):
        spread = member_sharding(devices, first, count)
        assert (1 if spread is None else spread.mesh.size) == used


def test_devices_that_are_not_there_are_said():
    with pytest.raises(DeviceError, match="9 devices were requested"):
        trained(4, 9)
