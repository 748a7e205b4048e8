"""Stop a long loop between two of its steps: the first signal asks, the second one insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a run as Ctrl-C does, with a code of its own."""


class Stop:
    """Whether somebody has asked to stop, and what a run that obeys raises."""

    def __init__(self) -> None:
        self.asked = False
        self.error: type[KeyboardInterrupt] = KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM inside the block into ``asked``; the second acts at once.

    Outside the main thread, which alone may take signals, nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # None: not set from Python, and so not to be set again
                signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        stop.error = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()
