"""A training on many devices is that on one: the same losses, whatever the shape of the mesh."""

import importlib

import jax
import numpy as np
import pytest

from mlp_jax import fit, mlp
from mlp_jax.errors import DeviceError, InputError
from mlp_jax.proof import Report
from mlp_jax.training.mesh import mesh_shape
from mlp_jax.training.private.config import Privacy

pytestmark = pytest.mark.usefixtures("optax_promotes", "unproved")

EPOCHS, BATCH = 5, 16
SHAPES = (
    "data=2", "data=4", "data=8", "model=2", "model=4", "model=8", "data=2,model=2",
    "data=2,model=4", "data=4,model=2",
)  # fmt: skip
NETWORKS = {
    "relu": {},
    "layer norm, dropout": {"norm": "layer", "dropout": 0.2},
    "batch norm": {"norm": "batch"},
    "residual": {"residual": True, "norm": "rms"},
}
BOUNDS = {"float64": 1e-12, "float32": 1e-5}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((176, 12))
    return x, (x[:, :3].sum(axis=1) > 0).astype(np.int32) + (x[:, 4] > 1)


@pytest.fixture
def unproved(monkeypatch):
    """Without the proof, which `test_mesh_proof` is about."""
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))


def trained(rows, network="relu", precision="float64", optimizer=None, **options):
    """50 steps, each epoch judged by rows held out.

    A bias before batch norm has gradient 0: what of it is rounding, Adam would make a step of.
    """
    optimizer = optimizer or ("momentum" if network == "batch norm" else "adam")
    return fit(
        mlp((16, 16, 16), 3, "tanh", **NETWORKS[network]),
        "softmax_cross_entropy",
        optimizer,
        rows,
        epochs=EPOCHS,
        batch_size=None if optimizer == "lbfgs" else BATCH,
        validation=0.1,
        precision=precision,
        **options,
    )


@pytest.fixture(scope="module")
def alone(rows):
    """The training on one device, of each network and precision."""
    kept = {}

    def of(network, precision="float64"):
        if (network, precision) not in kept:
            kept[network, precision] = trained(rows, network, precision)
        return kept[network, precision]

    return of


def figures(fitted):
    return np.array([list(record.values()) for record in fitted.history])


@pytest.mark.parametrize("mesh", SHAPES)
def test_every_mesh_gives_the_losses_of_one_device(rows, alone, mesh):
    found = trained(rows, "layer norm, dropout", mesh=mesh)
    expected = figures(alone("layer norm, dropout"))
    np.testing.assert_allclose(figures(found), expected, rtol=BOUNDS["float64"])
    assert found.history[-1]["step"] == 50


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", BOUNDS)
def test_every_network_gives_the_losses_of_one_device(rows, alone, network, precision):
    found = trained(rows, network, precision, mesh="data=2,model=2")
    expected = figures(alone(network, precision))
    np.testing.assert_allclose(figures(found), expected, rtol=BOUNDS[precision])


def test_the_optimizer_may_be_split_too(rows, alone):
    found = trained(rows, devices=4, shard_optimizer=True)
    np.testing.assert_allclose(figures(found), figures(alone("relu")), rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["muon", "lbfgs", "kfac"])
def test_optimizers_that_know_matrices_train_on_a_mesh(rows, optimizer):
    one = trained(rows, optimizer=optimizer)
    many = trained(rows, optimizer=optimizer, mesh="data=2,model=2", shard_optimizer=True)
    np.testing.assert_allclose(figures(many), figures(one), rtol=1e-9)


def test_predictions_and_weights_are_those_of_one_device(rows, alone):
    found = trained(rows, mesh="data=4,model=2")
    ours, theirs = (one.predict_proba(rows[0]) for one in (found, alone("relu")))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_weights_of_rows_are_spread_with_the_rows(rows):
    weights = np.linspace(0, 2, len(rows[0]))
    one, many = (
        trained(rows, sample_weight=weights, devices=devices, average=0.9, importance=2)
        for devices in (None, 4)
    )
    np.testing.assert_allclose(figures(many), figures(one), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"devices": 9}, DeviceError, "9 devices were requested, but JAX sees 8"),
        ({"devices": 0}, InputError, "devices must be at least 1, not 0"),
        ({"mesh": "data=2,tensor=2"}, InputError, "not 'data=2,tensor=2'"),
        ({"mesh": "data=2", "devices": 4}, InputError, "has 2 devices, but 4 were requested"),
        ({"mesh": "data=3"}, InputError, "16 examples cannot be split evenly over 3 devices"),
    ],
)
def test_what_cannot_be_is_said(rows, options, error, said):
    with pytest.raises(error, match=said):
        trained(rows, **options)


@pytest.mark.parametrize(("batch_size", "used"), [(64, 8), (60, 6), (7, 7), (11, 1)])
def test_where_nobody_says_how_many_the_batch_divides_evenly(monkeypatch, batch_size, used):
    there = jax.devices("cpu")
    monkeypatch.setattr(mesh_shape, "choose_devices", lambda devices, first: there)
    found = mesh_shape.choose_layout(None, None, False, there[0], batch_size)
    assert (1 if found is None else found.data) == used


def test_a_private_training_keeps_to_one_device(rows):
    with pytest.raises(InputError, match="one device"):
        trained(rows, optimizer="sgd", devices=2, privacy=Privacy(1.0, 1e-3))
