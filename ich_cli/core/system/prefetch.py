"""Do slow things ahead of time in threads, and hand their results over in order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int
) -> Generator[R, None, None]:
    """Map a function over items in threads, at most `ahead` results in front of the reader.

    Results come in the order of the items whatever the number of threads, so memory and order
    are both bounded. Closing the iterator, or an interrupt, drops what has not begun.

    Parameters
    ----------
    workers
        Threads; 0 calls the function where the result is read.
    ahead
        How many items may be in work or waiting.
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


class Recent(Generic[T]):
    """Keeps the last few results, for neighbours in a series need the same slices.

    Parameters
    ----------
    capacity
        How many are kept; the one used longest ago goes first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under `key`, or make it. What `make` raises is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()  # outside the lock: two threads may make the same one, and no one waits
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return value
