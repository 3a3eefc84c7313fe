"""Machine and versions of a measurement, and its spread."""

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("jax", "jaxlib", "optax", "numpy", "polars", "torch")
TRAINERS = ("jax", "jaxlib", "optax", "numpy", "scikit-learn", "torch", "flax", "equinox")


def describe(
    device: Any = None, packages: Sequence[str] = PACKAGES, gpu: str | None = None
) -> dict[str, Any]:
    """Return processor, cores, versions of the installed packages, and the GPU if it computed.

    device: the `jax.Device` that computed; or gpu: its name, if this process does not use it.
    """
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0].partition(":")[2].strip() if lines else model
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found = {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }
    if device is not None and device.platform != "cpu":
        gpu = device.device_kind
    if gpu is not None:
        found["accelerator"] = gpu
    return found


def machine_title(machine: dict[str, Any]) -> str:
    """Format the machine as one line below a table or a picture."""
    where = machine.get("accelerator") or f"{machine['cores']} cores of {machine['processor']}"
    return f"{where}, JAX {machine['versions'].get('jax')}, Python {machine['python']}"


def median_and_quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles of measured values."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": float(middle), "quartile_1": float(low), "quartile_3": float(high)}
