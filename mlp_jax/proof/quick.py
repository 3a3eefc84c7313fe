"""Programs that run once: compiled fast and not well."""

from collections.abc import Callable
from typing import Any

import jax


def platform() -> str:
    """The platform that computes here: of `jax.default_device` where one is set, else JAX's own."""
    chosen = getattr(jax.config, "jax_default_device", None)
    return getattr(chosen, "platform", None) or jax.default_backend()


def jit_once(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`function` as one program at XLA's optimization level 0 on a CPU, where that compiles in a
    fraction of the time; as usual elsewhere. options: `jax.jit`'s.
    """
    quick = {"xla_backend_optimization_level": 0} if platform() == "cpu" else None
    return jax.jit(function, compiler_options=quick, **options)
