"""What a result says about where it was measured, and how its spread is told."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

_LIBRARIES = ("jax", "jaxlib", "optax", "numpy", "scikit-learn", "torch", "flax", "equinox")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, and the versions that matter."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = lines[0].partition(":")[2].strip() if lines else model
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median and the quartiles of measured values."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": float(middle), "quartile_1": float(low), "quartile_3": float(high)}


def sees_gpu() -> bool:
    """Whether JAX computes on a GPU here; asked in a process of its own, which then lets go."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "gpu"
