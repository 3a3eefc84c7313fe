"""Programs that run once: compiled fast and not well."""

import functools
from collections.abc import Callable
from typing import Any

import jax

LEVEL_0: dict[str, Any] = {"xla_backend_optimization_level": 0}
OLDER_GENERATOR: dict[str, Any] = LEVEL_0 | {"xla_cpu_use_fusion_emitters": False}


def platform() -> str:
    """The platform that computes here: of `jax.default_device` where one is set, else JAX's own."""
    chosen = getattr(jax.config, "jax_default_device", None)
    return getattr(chosen, "platform", None) or jax.default_backend()


def jit_once(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`function` as one program at XLA's optimization level 0 on a CPU, where that compiles in a
    fraction of the time; as usual elsewhere. options: `jax.jit`'s.
    """
    quick = LEVEL_0 if platform() == "cpu" else None
    return jax.jit(function, compiler_options=quick, **options)


def jit_proof(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """As `jit_once`, and on a CPU by XLA's older code generator, where it still has one.

    A proof is some hundred fused loops that run a few times each, and the newer generator takes
    four times as long to make them. The initial weights stay with `jit_once`, to the last digit.
    """
    if platform() != "cpu" or not _has_older_generator():
        return jit_once(function, **options)
    return jax.jit(function, compiler_options=OLDER_GENERATOR, **options)


@functools.cache
def _has_older_generator() -> bool:
    """Whether this XLA knows the option: it refuses to compile with one that it does not."""
    try:
        jax.jit(lambda: 0, compiler_options=OLDER_GENERATOR).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
