"""Stop a long loop between two steps at the first signal, and at once at the second."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: ends a run as Ctrl-C does, with its own exit code."""


class Stop:
    """Stop request of a `stoppable` block.

    Attributes
    ----------
    requested
        A signal was received.
    error
        Exception class that the loop raises when it stops.
    """

    def __init__(self) -> None:
        self.requested = False
        self.error: type[KeyboardInterrupt] = KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM inside the block into ``requested``.

    The second signal acts at once. Outside the main thread, which alone may handle signals,
    nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # None: not set from Python, so Python cannot restore it
                signal.signal(number, handler)

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        stop.error = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        restore()

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
