"""Ledger of a private run: steps are paid for before they run."""

import json
from pathlib import Path

from mlp_jax.errors import RunFolderError
from mlp_jax.files import write_json_atomic
from mlp_jax.training.private.accounting import Account

LEDGER_FILE = "privacy.json"
STARTED = "steps_started"


class Ledger:
    """Number of steps ever started, in memory and, with a folder, on disk.

    A killed run resumes from its last checkpoint with new noise. The steps after it are lost, but
    their weights may have been seen, so they stay paid.

    Args:
        account: the account of the run.
        folder: run folder.

    Raises:
        RunFolderError: if the ledger of the folder belongs to another run.
    """

    def __init__(self, account: Account, folder: Path | None = None) -> None:
        self.account = account
        self._path = None if folder is None else folder / LEDGER_FILE
        self._metadata = account.metadata()
        self.started = 0 if self._path is None else _started(self._path, self._metadata)
        self._write()

    def allows(self, steps: int) -> bool:
        """Return whether the budget covers this many more steps."""
        return self.started + steps <= self.account.steps

    def pay(self, steps: int) -> None:
        """Record steps that are about to run."""
        assert self.allows(steps)
        self.started += steps
        self._write()

    @property
    def epsilon(self) -> float:
        """ε of all steps ever started."""
        return self.account.epsilon(self.started)

    def _write(self) -> None:
        if self._path is not None:
            write_json_atomic(self._path, self._metadata | {STARTED: self.started})


def check_ledger(folder: Path) -> None:
    """Raise RunFolderError if the folder of a private run has no ledger."""
    if not (folder / LEDGER_FILE).is_file():
        raise RunFolderError(f"{folder} has no {LEDGER_FILE}, so the privacy spent is unknown.")


def _started(path: Path, metadata: dict[str, object]) -> int:
    """Return the number of steps in a ledger; 0 for a new one."""
    if not path.exists():
        return 0
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        started = found.pop(STARTED)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunFolderError(f"Cannot read the ledger {path}: {error}.") from None
    if found != json.loads(json.dumps(metadata)) or type(started) is not int or started < 0:
        raise RunFolderError(
            f"{path} does not match this run: it was written with other options, data or versions"
            " of the accountant."
        )
    return started
