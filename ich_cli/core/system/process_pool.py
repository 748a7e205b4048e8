"""Pool of worker processes for work that holds the GIL."""

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
    """Yield a pool of at most `number` processes, or None if `number` is below 2.

    At the end of the block, work that has not started is cancelled, and running work is awaited.

    Parameters
    ----------
    first
        Called once per process, at once, to import modules early. Without it a process starts
        when there is work for it.
    """
    if number < 2:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # threads of cv2 do not survive a fork
    pool = ProcessPoolExecutor(number, context, _initialize)
    try:
        if first:
            for _ in range(number):
                pool.submit(first)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _initialize() -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the main process handles it
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent process does: workers of a killed parent would wait forever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
