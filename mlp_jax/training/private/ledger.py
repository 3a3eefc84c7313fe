"""The ledger of a private run: steps are paid for before they are taken, so that none is free."""

import json
from pathlib import Path

from mlp_jax.errors import RunFolderError
from mlp_jax.files import write_json_atomic
from mlp_jax.training.private.accounting import Account

LEDGER_FILE = "privacy.json"
STARTED = "steps_started"


class Ledger:
    """How many of a run's steps were ever started, in memory and, with a folder, on disk.

    A run that was killed comes back to its last checkpoint and draws new noise from there: the
    steps after it are lost, but somebody may have seen their weights, so they stay paid. Raises
    RunFolderError where the folder's ledger is of another run.
    """

    def __init__(self, account: Account, folder: Path | None = None) -> None:
        self.account = account
        self._path = None if folder is None else folder / LEDGER_FILE
        self._metadata = account.metadata()
        self.started = 0 if self._path is None else _started(self._path, self._metadata)
        self._write()

    def allows(self, steps: int) -> bool:
        """Whether so many steps more are within what the run may spend."""
        return self.started + steps <= self.account.steps

    def pay(self, steps: int) -> None:
        """Writes down steps that are about to be taken."""
        assert self.allows(steps)
        self.started += steps
        self._write()

    @property
    def epsilon(self) -> float:
        """The ε of all steps ever started."""
        return self.account.epsilon(self.started)

    def _write(self) -> None:
        if self._path is not None:
            write_json_atomic(self._path, self._metadata | {STARTED: self.started})


def check_ledger(folder: Path) -> None:
    """RunFolderError where the folder of a private run has no ledger."""
    if not (folder / LEDGER_FILE).is_file():
        raise RunFolderError(
            f"{folder} has no {LEDGER_FILE}, so nobody can tell what its run has spent."
        )


def _started(path: Path, metadata: dict[str, object]) -> int:
    """The steps that a ledger counts; 0 where there is none yet."""
    if not path.exists():
        return 0
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        started = found.pop(STARTED)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunFolderError(f"Cannot read the ledger {path}: {error}.") from None
    if found != json.loads(json.dumps(metadata)) or type(started) is not int or started < 0:
        raise RunFolderError(
            f"{path} does not fit this run: it was planned with other options, data or versions of"
            " the accountant."
        )
    return started
