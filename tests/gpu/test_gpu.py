"""What only a GPU can show: run with MLP_JAX_TEST_GPU=1 on a machine that has one."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from mlp_jax import check_gradients, fit, get_loss, mlp
from mlp_jax.data import load_digits, split
from mlp_jax.model.precision import choose_device, choose_precision, has_tf32

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _usual_promotion():
    """Optax mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def rows():
    return split(load_digits(), test=0.2, validation=0.1, seed=0)


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_gradient_is_proved_there(norm, dtype):
    network, loss = (
        mlp([48, 32], 5, "gelu", norm=norm, dropout=0.2),
        get_loss("softmax_cross_entropy"),
    )
    params, state = network.init(jax.random.key(0), 20)
    rng = np.random.default_rng(0)
    batch = rng.standard_normal((8, 20)), rng.integers(0, 5, 8).astype(np.int32)
    report = check_gradients(network, loss, params, batch, state=state, dtypes=(dtype,))
    assert report.ok, report


def test_tf32_is_the_default_where_the_gpu_has_it():
    device = choose_device("gpu")
    assert choose_precision(None, device).name == ("tf32" if has_tf32(device) else "float32")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_a_training_has_the_losses_of_a_cpu(rows, precision, tolerance):
    """Uniform initial weights: a normal draw takes a logarithm in float32, whose last bit may
    differ between devices, and one such bit moves these losses by 1e-9."""
    losses = {}
    for device in ("cpu", "gpu"):
        fitted = fit(
            mlp([32], 10, dropout=0.1, norm="batch", initializer="he_uniform"),
            "softmax_cross_entropy", "adam", rows.train,
            epochs=3, validation=rows.validation, precision=precision, device=device,
        )  # fmt: skip
        losses[device] = [record["train_loss"] for record in fitted.history]
    assert losses["gpu"] == pytest.approx(losses["cpu"], rel=tolerance)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_fewer_bits_train_as_well(rows, precision):
    if precision == "tf32" and not has_tf32(choose_device("gpu")):
        pytest.skip("this GPU has no TensorFloat-32")
    fitted = fit(
        mlp([128, 128], 10), "softmax_cross_entropy", "adam", rows.train, epochs=20,
        precision=precision, device="gpu",
    )  # fmt: skip
    assert fitted.evaluate(rows.test, ["accuracy"])[0]["accuracy"] > 0.96


def test_a_deterministic_run_goes_on_bit_for_bit(tmp_path):
    """In processes of their own: XLA reads the wish when it first computes."""
    words = ("--deterministic", "--epochs", "6", "--dropout", "0.1", "--device", "gpu")

    def train(*more):
        command = [sys.executable, "-m", "mlp_jax", "train", *more]
        subprocess.run(command, cwd=tmp_path, env=os.environ, check=True, capture_output=True)

    train(*words, "--out", "whole")
    train(*words[:1], "--epochs", "3", "--schedule-epochs", "6", *words[3:], "--out", "cut")
    train("--resume", "cut", "--epochs", "6")
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
