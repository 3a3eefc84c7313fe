"""Processes forked after JAX had started: JAX's threads are not in them, so that it would hang.

Predictions are computed by NumPy there (`numpy_network`); all else is refused in one sentence.
"""

import os
import sys

from mlp_jax.errors import ForkError

_inherited = False


def jax_is_inherited() -> bool:
    """Return whether this process was forked from one in which JAX had started."""
    return _inherited


def check_not_inherited(what: str) -> None:
    """Raise ForkError for what JAX would have to do where it was inherited by a fork."""
    if _inherited:
        raise ForkError(
            f"JAX cannot {what} in a process that was forked after JAX had started, because its"
            " threads are not copied: start the process by spawn or forkserver"
            " (multiprocessing.get_context('spawn')), or by joblib's loky."
        )


def _after_fork() -> None:
    global _inherited
    bridge = sys.modules.get("jax._src.xla_bridge")
    _inherited = _inherited or bool(getattr(bridge, "_backends", None))


if hasattr(os, "register_at_fork"):  # POSIX
    os.register_at_fork(after_in_child=_after_fork)
