"""Error message of a process that loses the others.

JAX ends a process that has lost another by abort(), from another thread and after a page of C++
output; no public API reports it earlier. A handler of SIGABRT prints one sentence instead, and
exits with the exit code of this program.
"""

import ctypes
import os
import signal
from typing import Any

import jax

from mlp_jax.errors import LostProcessError, MlpJaxError

MESSAGE = (
    "Another process of this training was lost{why}. Saved checkpoints are kept; resume"
    " with --resume, on any number of processes."
)
_kept: list[Any] = []  # keeps the handler alive while C refers to it


def lost_process_error(why: str = "") -> LostProcessError:
    """Return the error of a process that lost another one.

    Args:
        why: the reason, if it is known.
    """
    return LostProcessError(MESSAGE.format(why=f" ({why})" if why else ", or this one failed"))


def is_lost_process(error: BaseException) -> bool:
    """Return whether an error comes from a collective with a lost process.

    JAX raises it as JaxRuntimeError, or as ValueError with the text of the collective library.
    """
    text = str(error)
    own = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in text
    return own or "Gloo " in text or "NCCL" in text


def report_on_abort(error: MlpJaxError | None) -> None:
    """Make abort() print this error and exit with its code; None restores the default."""
    if os.name != "posix":
        return
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    install = ctypes.CDLL(None).signal
    install.restype, install.argtypes = ctypes.c_void_p, [ctypes.c_int, kind]
    if error is None:
        install(signal.SIGABRT, kind())
        return
    words, code = f"mlp-jax: {error}\n".encode(), error.exit_code

    def handler(_: int) -> None:
        os.write(2, words)
        os._exit(code)

    _kept.append(kind(handler))
    install(signal.SIGABRT, _kept[-1])
