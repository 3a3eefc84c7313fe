"""What `fit` refuses, and how it ends where numbers stop being finite."""

import jax
import numpy as np
import optax
import pytest
from training_cases import OnCall, OnProof, labelled

from mlp_jax import mlp
from mlp_jax.backprop import get_loss
from mlp_jax.errors import DeviceError, DivergedError, InputError, ProofError, UnknownNameError
from mlp_jax.proof.faults import FAULTS, inject
from mlp_jax.training.fit import fit
from mlp_jax.training.optim.optimizers import Optimizer

TANH = mlp([6], 3, "tanh")
CROSS_ENTROPY = "softmax_cross_entropy"


@pytest.mark.usefixtures("unproved")
def test_a_step_that_is_not_finite_names_the_step_and_the_layer():
    kept = []
    with pytest.raises(DivergedError) as caught:
        fit(
            mlp([8, 8], 3), CROSS_ENTROPY, Optimizer("sgd", 1e30), labelled(40), epochs=3,
            batch_size=20, callbacks=[lambda end: kept.append(end)],
        )  # fmt: skip
    assert str(caught.value).startswith("Training diverged at step 2 (epoch 1): ")
    assert "layer 1 Dense(8, relu)" in str(caught.value)
    assert kept == []


@pytest.mark.usefixtures("unproved")
def test_an_update_that_is_not_finite_is_not_applied():
    with pytest.raises(DivergedError, match=r"step 1 \(epoch 1\): the update of the optimizer"):
        fit(TANH, CROSS_ENTROPY, optax.scale(-np.inf), labelled(20), epochs=1, batch_size=20)


@pytest.mark.usefixtures("unproved")
def test_weights_that_overflow_in_the_last_step_are_not_returned():
    x, y = labelled(20)
    steep = Optimizer("sgd", 1e38)
    with pytest.raises(DivergedError, match="not finite"):
        fit(mlp([], 3), CROSS_ENTROPY, steep, (1000 * x, y), epochs=1, batch_size=20)


def test_x64_does_not_leak_from_a_fit_that_fails():
    network, loss, _ = inject(FAULTS["sign"], TANH, get_loss(CROSS_ENTROPY), 4)
    with pytest.raises(ProofError):
        fit(network, loss, "sgd", labelled(20), batch_size=10, precision="float64")
    assert not jax.config.jax_enable_x64


def test_a_wrong_gradient_stops_the_run_before_its_first_step():
    network, loss, _ = inject(FAULTS["factor_two"], TANH, get_loss(CROSS_ENTROPY), 4)
    reports, called = [], []
    with pytest.raises(ProofError, match=r"1 Dense\(3, identity\), ∇W = a ∇zᵀ"):
        fit(
            network, loss, "sgd", labelled(20), batch_size=10,
            callbacks=[OnProof(reports.append), called.append, OnCall(called.append)],
        )  # fmt: skip
    assert called == []
    assert not reports[0].ok


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(DeviceError, match="No gpu found: JAX sees only cpu"):
        fit(TANH, CROSS_ENTROPY, "sgd", labelled(20), device="gpu")


def nan_in_row_three(x, y):
    x = x.copy()
    x[3, 1] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (nan_in_row_three, {}, InputError, "row 3, column 1"),
        (lambda x, y: (x, y[:-1]), {}, InputError, "20 rows"),
        (lambda x, y: (x, np.where(y == 2, 7, y)), {}, InputError, "outside the allowed 0 to 2"),
        (lambda x, y: (x, y - 1), {}, InputError, "outside the allowed 0 to 2"),
        (None, {"batch_size": 0}, InputError, "batch_size must be at least 1, not 0"),
        (None, {"batch_size": 21}, InputError, "at most 20"),
        (None, {"epochs": 0}, InputError, "at least 1 epoch"),
        (None, {"average": float("nan")}, InputError, "between 0 and 1"),
        (None, {"select": "first"}, UnknownNameError, "Known: best, last"),
        (None, {"seed": -1}, InputError, "seed"),
        (None, {"seed": 2**70}, InputError, "seed"),
        (None, {"schedule_epochs": 0}, InputError, "schedule_epochs must be at least 1, not 0"),
        (None, {"patience": 2}, InputError, "needs validation rows"),
        (None, {"select": "best"}, InputError, "select best) needs validation rows"),
        (None, {"patience": 0, "validation": 0.2}, InputError, "patience must be at least 1"),
        (None, {"average": 1.0}, InputError, "between 0 and 1"),
        (None, {"validation": 1.0}, InputError, "less than 1"),
        (None, {"metrics": ("rmse",)}, UnknownNameError, "Unknown classification metric 'rmse'"),
        (None, {"monitor": "f1"}, InputError, "not among the metrics: accuracy"),
        (None, {"precision": "float16"}, UnknownNameError, "Unknown precision"),
        (None, {"device": "tpu"}, UnknownNameError, "Unknown device"),
        (None, {"class_weight": (1.0, 2.0)}, InputError, "3 finite numbers"),
        (None, {"class_weight": "even"}, UnknownNameError, "Known: balanced"),
        (None, {"sample_weight": np.ones(19)}, InputError, "20 rows"),
        (None, {"sample_weight": -np.ones(20)}, InputError, "not negative"),
        (None, {"sample_weight": np.zeros(20)}, InputError, "not all 0"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(change, options, error, words):
    data = labelled(20) if change is None else change(*labelled(20))
    with pytest.raises(error) as caught:
        fit(TANH, CROSS_ENTROPY, "sgd", data, **{"batch_size": 10, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
