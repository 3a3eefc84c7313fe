"""SIGTERM and Ctrl-C as a wish that the run looks at between two compiled calls."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

WATCHED = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """Gives () -> the signal that asked the process to stop, or None, for the length of a block.

    A second Ctrl-C ends at once, as KeyboardInterrupt. Outside the main thread, where Python
    allows no handlers, nothing is watched.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, note) for number in WATCHED}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
