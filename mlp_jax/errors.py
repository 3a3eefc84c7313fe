"""The errors a user meets: one clear sentence each, exit code 2 on the command line.

Every class is also the built-in that callers already catch.
"""

import difflib
from collections.abc import Iterable


class DataWarning(UserWarning):
    """Something in the data that a fit takes, but that its owner should know."""


class MlpJaxError(Exception):
    """Base of every error that bad input raises."""

    exit_code = 2


class InputError(MlpJaxError, ValueError):
    """A value that cannot be used: data, a label, a width, a batch size."""


class UnknownNameError(InputError):
    """A name that is not in the table of known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")


def check_new_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise InputError for a name that cannot be registered: it exists, or is no identifier."""
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"The name of the {kind} must be a Python identifier, not {name!r}.")
    if name in known:
        raise InputError(f"There is already a {kind} called '{name}': choose another name.")


class DataFileError(MlpJaxError, OSError):
    """A data file that is missing, truncated or not what its header says."""


class DeviceError(MlpJaxError, RuntimeError):
    """A device was asked for that is not there."""


class ForkError(MlpJaxError, RuntimeError):
    """JAX was to compute in a process that was forked after it had started."""


class RunFolderError(MlpJaxError, OSError):
    """A run folder that cannot be used."""


class ModelFileError(MlpJaxError, OSError):
    """A saved model that is missing, damaged, or not what its description says."""


class ProofError(MlpJaxError, ArithmeticError):
    """The hand-written gradient disagrees with a witness."""

    exit_code = 1


class DivergedError(MlpJaxError, ArithmeticError):
    """Training met a loss or gradient that is not finite."""

    exit_code = 1


class LostProcessError(MlpJaxError, ConnectionError):
    """One of the processes that train together is gone."""

    exit_code = 1


class StoppedError(MlpJaxError):
    """A run that SIGTERM or Ctrl-C ended, saved; exit code 128 + the signal, as shells have it."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number
