"""Compile programs that run once: fast to compile rather than to run."""

import functools
from collections.abc import Callable
from typing import Any

import jax

LEVEL_0: dict[str, Any] = {"xla_backend_optimization_level": 0}
OLDER_GENERATOR: dict[str, Any] = LEVEL_0 | {"xla_cpu_use_fusion_emitters": False}


def platform() -> str:
    """Platform that computes here: of `jax.default_device` if it is set, else JAX's own."""
    chosen = getattr(jax.config, "jax_default_device", None)
    return getattr(chosen, "platform", None) or jax.default_backend()


def jit_once(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Jit `function` at XLA's optimization level 0 on a CPU, where that compiles much faster.

    As usual elsewhere. options: of `jax.jit`.
    """
    quick = LEVEL_0 if platform() == "cpu" else None
    return jax.jit(function, compiler_options=quick, **options)


def jit_proof(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Like `jit_once`, and on a CPU by XLA's older code generator if it still has one.

    A check is about a hundred fused loops that run a few times each, and the newer generator takes
    four times as long to compile them. Initial weights use `jit_once`, so that they stay the same
    to the last digit.
    """
    if platform() != "cpu" or not _has_older_generator():
        return jit_once(function, **options)
    return jax.jit(function, compiler_options=OLDER_GENERATOR, **options)


@functools.cache
def _has_older_generator() -> bool:
    """Test whether this XLA knows the option: it refuses to compile with an unknown one."""
    try:
        jax.jit(lambda: 0, compiler_options=OLDER_GENERATOR).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
