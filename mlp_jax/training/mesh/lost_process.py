"""The last words of a process whose fellows are gone.

JAX ends a process that has lost another by abort(), from a thread of its own and after a page of
C++; there is no public way to hear of it first. So abort's signal is given a handler that says in a
sentence what to do next, and leaves with this program's exit code.
"""

import ctypes
import os
import signal
from typing import Any

import jax

from mlp_jax.errors import LostProcessError, MlpJaxError

WORDS = (
    "Another process of this training is gone{why}. What is saved stays; go on"
    " with --resume, on as many processes as are left."
)
_kept: list[Any] = []  # C holds the handler without counting it


def lost_process_error(why: str = "") -> LostProcessError:
    """The error of a process that cannot go on without the others; why: where it is known."""
    return LostProcessError(WORDS.format(why=f" ({why})" if why else ", or this one failed"))


def is_lost_process(error: BaseException) -> bool:
    """Whether this is what comes of an exchange with a process that is gone.

    JAX gives a failed collective as an error of its own, or as a ValueError with its words.
    """
    text = str(error)
    own = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in text
    return own or "Gloo " in text or "NCCL" in text


def report_on_abort(error: MlpJaxError | None) -> None:
    """From now on abort() says this error and exits with its code; None: it aborts as it did."""
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
