"""Processes forked after JAX had started: JAX's threads are not in them, so that it would hang.

Predictions are computed by NumPy there (`numpy_network`); all else is refused in one sentence.
"""

import os
import sys

from mlp_jax.errors import ForkError

_inherited = False
_polars = False


def polars_is_inherited() -> bool:
    """Return whether this process was forked from one that had imported polars.

    Its threads are not there either, and what asks them for help waits for ever.
    """
    return _polars


def jax_is_inherited() -> bool:
    """Return whether this process was forked from one in which JAX had started."""
    return _inherited


def check_not_inherited(what: str) -> None:
    """Raise ForkError for what JAX would have to do where it was inherited by a fork."""
    if _inherited:
        raise _error("JAX", what)


def check_polars_not_inherited(what: str) -> None:
    """Raise ForkError for what polars would have to do where it was inherited by a fork."""
    if _polars:
        raise _error("polars", what)


def _error(library: str, what: str) -> ForkError:
    return ForkError(
        f"{library} cannot {what} in a process that was forked after {library} had started, because"
        " its threads are not copied: start the process by spawn or forkserver"
        " (multiprocessing.get_context('spawn')), or by joblib's loky."
    )


def _after_fork() -> None:
    global _inherited, _polars
    bridge = sys.modules.get("jax._src.xla_bridge")
    _inherited = _inherited or bool(getattr(bridge, "_backends", None))
    _polars = _polars or "polars" in sys.modules


if hasattr(os, "register_at_fork"):  # POSIX
    os.register_at_fork(after_in_child=_after_fork)
