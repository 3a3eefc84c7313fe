"""A bar for a transfer, where a person looks on; silence where not."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class TransferBar(NamedTuple):
    """expect(done, total): bytes there already, and in all (0: unknown). advance(n): n more."""

    expect: Callable[[int, int], None]
    advance: Callable[[int], None]


@contextmanager
def transfer_bar(name: str) -> Iterator[TransferBar]:
    """A bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield TransferBar(lambda done, total: None, lambda n: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield TransferBar(
            lambda done, total: progress.update(task, completed=done, total=total or None),
            lambda n: progress.advance(task, n),
        )
