"""`accumulate` and `recompute`: the same training in less memory."""

import importlib

import numpy as np
import pytest

from mlp_jax import fit, mlp
from mlp_jax.errors import InputError
from mlp_jax.proof import Report

pytestmark = pytest.mark.usefixtures("optax_promotes", "unproved")


@pytest.fixture
def unproved(monkeypatch):
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 6))
    return x, (x[:, :2].sum(axis=1) > 0).astype(np.int32)


def losses(rows, optimizer="adam", norm="layer", dropout=0.0, hidden=(12, 12), **options):
    network = mlp(hidden, 2, "gelu", norm=norm, dropout=dropout)
    how = {"epochs": 4, "batch_size": 24, "precision": "float64", **options}
    fitted = fit(network, "softmax_cross_entropy", optimizer, rows, **how)
    return [record["train_loss"] for record in fitted.history]


@pytest.mark.parametrize("count", [2, 3, 24])
def test_the_parts_of_a_batch_add_up_to_it(rows, count):
    weights = np.linspace(0, 2, 100)
    whole, parts = (losses(rows, accumulate=how, sample_weight=weights) for how in (1, count))
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_whatever_the_optimizer_the_parts_add_up(rows, optimizer):
    whole, parts = (losses(rows, optimizer, accumulate=how) for how in (1, 4))
    np.testing.assert_allclose(parts, whole, rtol=1e-10)


def test_each_part_draws_its_own_dropout(rows):
    whole, parts = (losses(rows, dropout=0.5, accumulate=how) for how in (1, 2))
    assert parts != whole
    assert parts == losses(rows, dropout=0.5, accumulate=2)


@pytest.mark.parametrize("devices", [None, 2])
def test_on_a_mesh_each_device_has_some_of_each_part(rows, devices):
    np.testing.assert_allclose(
        losses(rows, accumulate=3, devices=devices), losses(rows), rtol=1e-12
    )


@pytest.mark.parametrize("options", [{}, {"mesh": "data=2,model=2"}, {"accumulate": 2}])
def test_a_training_that_recomputes_is_the_training(rows, options):
    how = {"norm": "batch" if "accumulate" not in options else "rms", "optimizer": "momentum"}
    kept, recomputed = (
        losses(rows, recompute=recompute, hidden=(12, 12, 12), **how, **options)
        for recompute in (False, True)
    )
    np.testing.assert_allclose(recomputed, kept, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1, not 0"),
        ({"accumulate": 5}, "24 examples cannot be split evenly into 5 parts: use a multiple of 5"),
        ({"accumulate": 4, "devices": 4}, "4 parts on 4 devices each: use a multiple of 16"),
        ({"accumulate": 2, "norm": "batch"}, "accumulate cannot be combined with batch norm"),
        (
            {"accumulate": 2, "optimizer": "kfac"},
            "accumulate cannot be combined with the optimizer kfac",
        ),
    ],
)
def test_what_cannot_be_cut_is_said(rows, options, said):
    with pytest.raises(InputError, match=said):
        losses(rows, **options)
