"""Ordered prefetching with threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int
) -> Generator[R, None, None]:
    """Map a function over items in threads, with at most `ahead` results pending.

    Results come in the order of the items, whatever the number of threads. Closing the generator,
    or an interrupt, cancels what has not started.

    Parameters
    ----------
    workers
        Number of threads; 0 calls the function when its result is read.
    ahead
        Maximum number of items that are being processed or waiting to be read.
    """
    if workers == 0:
        yield from map(function, items)
        return
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ich-read")
    try:
        waiting: deque[Future[R]] = deque(
            pool.submit(function, item) for item in islice(source, max(1, ahead))
        )
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
