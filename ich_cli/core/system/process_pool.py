"""Processes that work beside the main one, for what holds Python's lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_processes(
    number: int, first: Callable[[], object] | None = None
) -> Iterator[Executor | None]:
    """Yield a pool of at most `number` processes; None below 2: the main one works alone.

    A process starts when there is the first work for it, so a pool that nobody uses costs nothing.
    With `first`, which each then calls, they start at once: what they import for it they import
    while the main one looks for work.

    At the end what has not begun is dropped, and what has is waited for.
    """
    if number < 2:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # threads of cv2 do not survive a fork
    pool = ProcessPoolExecutor(number, context, _begin)
    try:
        if first:
            for _ in range(number):
                pool.submit(first)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process acts
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the first process does: a killed one would leave this waiting for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
