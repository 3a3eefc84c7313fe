import inspect
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from mlp_jax.errors import DeviceError, InputError, UnknownNameError
from mlp_jax.model.precision import (
    PRECISIONS,
    choose_device,
    choose_precision,
    has_tf32,
)


def device(platform, capability=None):
    kind = SimpleNamespace(platform=platform, device_kind=f"a {platform}")
    if capability is not None:
        kind.compute_capability = capability
    return kind


@pytest.mark.parametrize(
    ("platform", "capability", "tf32"),
    [
        ("cpu", None, False),
        ("gpu", "7.5", False),
        ("gpu", "8.0", True),
        ("gpu", "9.0", True),
        ("gpu", "12.0", True),
        ("gpu", None, False),
        ("gpu", "gfx90a", False),
    ],
)
def test_tensor_float_is_what_nvidia_has_from_ampere_on(platform, capability, tf32):
    chosen = device(platform, capability)
    assert inspect.unwrap(has_tf32)(chosen) == tf32


def test_tensor_float_is_refused_where_there_is_none():
    with pytest.raises(InputError, match="cpu has no TensorFloat-32 arithmetic"):
        choose_precision("tf32", jax.devices("cpu")[0])


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'bf16'"):
        choose_precision("bf61", jax.devices("cpu")[0])
    with pytest.raises(UnknownNameError, match="Known: cpu, gpu"):
        choose_device("cuda")


def test_the_default_device_is_that_of_jax():
    assert choose_device(None) == jax.devices()[0]
    assert choose_device("cpu").platform == "cpu"


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_a_device_error():
    with pytest.raises(DeviceError, match=r"install 'mlp-jax\[cuda\]'"):
        choose_device("gpu")


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_policy_is_in_force_inside_its_block_only(name):
    policy = PRECISIONS[name]
    with policy.active():
        assert jax.config.jax_enable_x64 == (name == "float64")
        assert jnp.zeros(1, policy.params).dtype == policy.params
        assert jax.config.jax_default_matmul_precision == policy.matmul
    assert not jax.config.jax_enable_x64
    assert jax.config.jax_default_matmul_precision is None


def test_the_proof_runs_in_the_type_of_the_products():
    assert {name: policy.proof_dtype for name, policy in PRECISIONS.items()} == {
        "float32": "float32", "tf32": "float32", "bf16": "bfloat16", "float64": "float64",
    }  # fmt: skip


def test_determinism_is_asked_for_once_beside_what_the_user_asked_for():
    """In a process of its own: XLA reads its flags when it first computes."""
    code = (
        "import os; from mlp_jax.model.precision import ask_for_determinism as ask; ask(); ask()\n"
        "import jax; jax.numpy.ones(2).sum(); print(os.environ['XLA_FLAGS'])"
    )
    flags = "--xla_cpu_multi_thread_eigen=true"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{flags} --xla_gpu_deterministic_ops=true"
