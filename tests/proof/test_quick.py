"""The programs of a proof compile with whatever XLA knows, and compare the same."""

import jax
import numpy as np
import pytest

from mlp_jax import check_gradients, get_loss, mlp
from mlp_jax.proof import check, quick


@pytest.fixture
def asked_anew():
    quick._has_older_generator.cache_clear()
    yield
    quick._has_older_generator.cache_clear()


def report():
    network = mlp([6], 3, "gelu", norm="layer", dropout=0.2)
    params, _ = network.init(jax.random.key(0), 4)
    rows = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % 3
    return check_gradients(network, get_loss("softmax_cross_entropy"), params, rows)


def compared(found):
    return [(row.layer, row.equation, row.witness, row.mode, row.bound) for row in found.rows]


@pytest.mark.usefixtures("asked_anew")
def test_an_option_that_xla_does_not_know_is_done_without(monkeypatch):
    quickest = report()
    unknown = {"xla_cpu_no_such_generator": False}
    monkeypatch.setattr(quick, "OLDER_GENERATOR", quick.LEVEL_0 | unknown)
    quick._has_older_generator.cache_clear()
    assert not quick._has_older_generator()
    assert report().ok
    assert compared(report()) == compared(quickest)


def test_a_proof_compares_the_same_however_it_is_compiled(monkeypatch):
    quickest = report()
    monkeypatch.setattr(check, "jit_proof", jax.jit)
    usual = report()
    assert quickest.ok
    assert usual.ok
    assert compared(usual) == compared(quickest)
