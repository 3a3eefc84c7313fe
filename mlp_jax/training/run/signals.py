"""SIGTERM and Ctrl-C as stop requests, polled between compiled calls."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int | None]]:
    """Return a function that returns the signal that requested a stop, or None, during a block.

    A second Ctrl-C raises KeyboardInterrupt at once. Outside the main thread, where Python allows
    no handlers, no signal is handled.
    """
    requested: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: requested[0] if requested else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
