"""The waiting line before the model: a few studies at once, a bounded number behind them.

    job = line.submit(work)             # BusyError where the line is full
    async for state in job.states():    # what `work` told by job.publish(...), newest only
        ...

Work runs in threads; whoever waits for it holds none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final

from ich_cli.core.errors import IchError

_LOOK_EVERY_S: Final = 0.5  # at the place in the line; what the work tells comes at once


class BusyError(IchError):
    """The waiting line is full."""


class CancelledError(IchError):
    """The one who asked wants no answer any more."""


class Job:
    """Work that has been handed in, and what it last told."""

    def __init__(self, line: JobQueue) -> None:
        self._queue = line
        self._told: Any = None
        self._version = 0
        self._followers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._future: Future[Any] | None = None
        self.cancelled = False
        """Set by `cancel`; the work looks at it between two slices."""

    def start(self, pool: ThreadPoolExecutor, work: Callable[[Job], Any]) -> None:
        """Hand the work to the pool."""
        self._future = pool.submit(self._run, work)
        self._future.add_done_callback(lambda _: self._wake())

    def publish(self, state: Any) -> None:
        """Say how far the work is; called by the work."""
        self._told, self._version = state, self._version + 1
        self._wake()

    def check(self) -> None:
        """Raise CancelledError where nobody waits for the work any more."""
        if self.cancelled:
            raise CancelledError("cancelled")

    def cancel(self) -> None:
        """Ask the work to end; drop it if it has not begun."""
        self.cancelled = True
        if self._future is not None and self._future.cancel():
            self._queue.leave(self)

    @property
    def done(self) -> bool:
        """Whether the work has ended, one way or another."""
        return self._future is not None and self._future.done()

    @property
    def ahead(self) -> int:
        """How many are before this one in the line; 0 once it has begun."""
        return self._queue.ahead(self)

    async def states(self, waiting: Callable[[int], Any] = lambda _: None) -> AsyncIterator[Any]:
        """Yield what the work tells until it ends, then raise what it raised, if anything.

        Parameters
        ----------
        waiting
            Makes the state for the time in the line, from the number of those ahead.
        """
        seen, before = 0, 0
        with self._following() as news:
            while not self.done:
                news.clear()
                if (ahead := self.ahead) and ahead != before:
                    before = ahead
                    yield waiting(ahead)
                if self._version != seen:
                    seen = self._version
                    yield self._told
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _LOOK_EVERY_S)
        if self._version != seen:
            yield self._told
        self.result()

    async def wait(self) -> Any:
        """Return what the work returned."""
        async for _ in self.states():
            pass
        return self.result()

    def result(self) -> Any:
        """Return what the ended work returned, or raise what it raised."""
        if self._future is None or self._future.cancelled():
            raise CancelledError("cancelled")
        return self._future.result()

    @contextmanager
    def _following(self) -> Iterator[asyncio.Event]:
        """Give an event of this thread's loop that is set whenever there is news."""
        news = asyncio.Event()
        self._followers[news] = asyncio.get_running_loop()
        try:
            yield news
        finally:
            del self._followers[news]

    def _wake(self) -> None:
        for news, loop in list(self._followers.items()):
            with suppress(RuntimeError):  # the loop was closed under a follower that never ended
                loop.call_soon_threadsafe(news.set)

    def _run(self, work: Callable[[Job], Any]) -> Any:
        self._queue.begin(self)
        try:
            self.check()
            return work(self)
        finally:
            self._queue.leave(self)


class JobQueue:
    """Runs work in threads, first come, first served.

    Parameters
    ----------
    concurrency
        How many run at the same time.
    waiting
        How many may wait behind them; more are refused at once.
    """

    def __init__(self, concurrency: int, waiting: int) -> None:
        self._most = concurrency + waiting
        self._concurrency = concurrency
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="ich-study")
        self._jobs: list[Job] = []
        self._begun: set[Job] = set()
        self._lock = Lock()

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Hand in work, which is given its job.

        Raises
        ------
        BusyError
            If the line is full.
        """
        job = Job(self)
        with self._lock:
            if len(self._jobs) >= self._most:
                waiting = self._most - self._concurrency
                raise BusyError(
                    f"busy: {waiting} studies are waiting already; try again in a minute"
                )
            self._jobs.append(job)
        job.start(self._pool, work)
        return job

    def begin(self, job: Job) -> None:
        """Note that a job runs."""
        with self._lock:
            self._begun.add(job)

    def leave(self, job: Job) -> None:
        """Forget a job that has ended."""
        with self._lock:
            self._begun.discard(job)
            if job in self._jobs:
                self._jobs.remove(job)

    def ahead(self, job: Job) -> int:
        """Return how many jobs are before this one; 0 for one that runs or has ended."""
        with self._lock:
            if job in self._begun or job not in self._jobs:
                return 0
            return self._jobs.index(job)

    def close(self) -> None:
        """Ask all work to end and take no more."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
