"""Detection of processes forked after JAX had started.

JAX's threads are missing there, so that it would hang. Predictions are computed by NumPy there
(`numpy_network`); everything else raises ForkError.
"""

import os
import re
import sys
from pathlib import Path

from mlp_jax.errors import ForkError

_FIXED_AT_START = ("jax_cpu_get_local_topology_timeout_minutes", "jax_num_cpu_devices")
_started = (False, False)  # JAX, polars, before the last fork
_inherited = False
_polars = False


def polars_is_inherited() -> bool:
    """Return True if this process was forked while polars' threads ran; polars would hang in it."""
    return _polars


def jax_is_inherited() -> bool:
    """Return True if this process was forked after JAX had started."""
    return _inherited


def check_not_inherited(what: str) -> None:
    """Raise ForkError if JAX was inherited by a fork; `what` completes "JAX cannot …"."""
    if _inherited:
        raise _error("JAX", what)


def check_polars_not_inherited(what: str) -> None:
    """Raise ForkError if polars was inherited by a fork; `what` completes "polars cannot …"."""
    if _polars:
        raise _error("polars", what)


def _error(library: str, what: str) -> ForkError:
    return ForkError(
        f"{library} cannot {what} in a process that was forked after {library} had started, because"
        " its threads are not copied: start the process by spawn or forkserver"
        " (multiprocessing.get_context('spawn')), or by joblib's loky."
    )


def _jax_has_started() -> bool:
    """Return True if JAX has devices, which it creates on first use.

    JAX has no public query for it, but then rejects changes of a setting like this one.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        return False
    name = next((name for name in _FIXED_AT_START if hasattr(jax.config, name)), "")
    try:
        before = getattr(jax.config, name)
        jax.config.update(name, before + 1)
    except (RuntimeError, AttributeError):
        return True
    jax.config.update(name, before)
    return False


def _polars_has_started() -> bool:
    """Return True if polars' threads run, or if it is imported and threads have no names."""
    if "polars" not in sys.modules:
        return False
    tasks = Path("/proc/self/task")
    try:
        names = [task.joinpath("comm").read_text() for task in tasks.iterdir()]
    except OSError:
        return True
    return any(re.match(r"polars-\d", name) for name in names)


def _before_fork() -> None:
    global _started
    _started = (_inherited or _jax_has_started(), _polars or _polars_has_started())


def _after_fork() -> None:
    global _inherited, _polars
    _inherited, _polars = _started


if hasattr(os, "register_at_fork"):  # POSIX
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
