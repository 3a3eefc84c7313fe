"""Devices and precision: where a run computes, and in which arithmetic."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop.specification import Params
from mlp_jax.errors import DeviceError, InputError, UnknownNameError
from mlp_jax.model.forked import check_not_inherited

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
DEVICES = ("cpu", "gpu")


@dataclass(frozen=True)
class Precision:
    """A precision policy.

    float32 is IEEE float32 on every device; tf32 multiplies in TensorFloat-32 on a GPU that has it;
    bf16 multiplies in bfloat16 with parameters, sums and biases in float32; float64 is for study.

    Attributes:
        name: name of the policy.
        params: dtype of parameters, data and sums.
        products: dtype of the factors of products.
        matmul: JAX's `default_matmul_precision`.
    """

    name: str
    params: Params
    products: Any
    matmul: str

    @property
    def x64(self) -> bool:
        """True if JAX must enable 64 bits."""
        return self.params == jnp.float64

    @property
    def proof_dtype(self) -> str:
        """The dtype, besides float64, in which the gradient check tests the run's arithmetic."""
        return np.dtype(self.products).name

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Activate the arithmetic inside the block."""
        with jax.enable_x64(self.x64), jax.default_matmul_precision(self.matmul):
            yield


PRECISIONS = {
    "float32": Precision("float32", jnp.float32, jnp.float32, "highest"),
    "tf32": Precision("tf32", jnp.float32, jnp.float32, "tensorfloat32"),
    "bf16": Precision("bf16", jnp.float32, jnp.bfloat16, "highest"),
    "float64": Precision("float64", jnp.float64, jnp.float64, "highest"),
}


def ask_for_determinism() -> None:
    """Restrict XLA to deterministic GPU operations; CPU operations always are.

    Call it before JAX first computes in the process: XLA reads the flag then.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if DETERMINISTIC not in flags.split():
        os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}".strip()


def has_tf32(device: jax.Device) -> bool:
    """Return True for an NVIDIA GPU of compute capability 8 or higher, which has TensorFloat-32."""
    capability = str(getattr(device, "compute_capability", "0")).split(".")[0]
    return device.platform == "gpu" and capability.isdigit() and int(capability) >= 8


def known_precision(name: str) -> Precision:
    """Return the policy of that name; UnknownNameError for an unknown name."""
    if name not in PRECISIONS:
        raise UnknownNameError("precision", name, PRECISIONS)
    return PRECISIONS[name]


def choose_precision(name: str | None, device: jax.Device) -> Precision:
    """Return the policy of that name; None is tf32 on a GPU that has it, else float32."""
    if name is None:
        name = "tf32" if has_tf32(device) else "float32"
    precision = known_precision(name)
    if name == "tf32" and not has_tf32(device):
        raise InputError(
            f"{device.device_kind} has no TensorFloat-32 arithmetic; "
            "use --precision float32, bf16 or float64."
        )
    return precision


def choose_device(name: str | None) -> jax.Device:
    """Return this process's first device of that kind, "cpu" or "gpu"; None is JAX's default.

    Raises UnknownNameError for another kind, DeviceError if JAX sees no such device, ForkError in a
    process that was forked after JAX had started.
    """
    check_not_inherited("compute")
    if name is None:
        return jax.local_devices()[0]
    if name not in DEVICES:
        raise UnknownNameError("device", name, DEVICES)
    try:
        return jax.local_devices(backend=name)[0]
    except RuntimeError:
        seen = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise DeviceError(
            f"No {name} found: JAX sees only {seen}. For an NVIDIA GPU install 'mlp-jax[cuda]'."
        ) from None
