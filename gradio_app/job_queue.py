"""Bounded job queue in front of the models.

    job = queue.submit(work)              # BusyError if the queue is full
    async for state in job.states():      # the newest state that `work` published
        ...

Jobs run in threads; a coroutine that waits for one blocks no thread. Gradio's own queue cannot
replace it: its limit counts page events as well, and the example runs before any page is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import takewhile
from threading import Lock
from typing import Any, Final

from ich_cli.core.errors import IchError

_POLL_S: Final = 0.5  # interval at which the position in the queue is read again


class BusyError(IchError):
    """The queue is full."""


class CancelledError(IchError):
    """The job was cancelled."""


class Job:
    """Submitted work, and the state that it published last."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._state: Any = None
        self._version = 0
        self._followers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._future: Future[Any] | None = None
        self.cancelled = False
        """True after `cancel`; the work checks it between two slices."""

    def start(self, pool: ThreadPoolExecutor, work: Callable[[Job], Any]) -> None:
        """Submit the work to a thread pool."""
        self._future = pool.submit(self._run, work)
        self._future.add_done_callback(lambda _: self._notify())

    def publish(self, state: Any) -> None:
        """Set the current state; called by the work."""
        self._state, self._version = state, self._version + 1
        self._notify()

    def check(self) -> None:
        """Raise CancelledError if the job was cancelled."""
        if self.cancelled:
            raise CancelledError("cancelled")

    def cancel(self) -> None:
        """Ask running work to stop; remove work that has not started."""
        self.cancelled = True
        if self._future is not None:
            self._future.cancel()

    @property
    def started(self) -> bool:
        """True while the work runs and after it ended."""
        return self._future is not None and (self._future.running() or self.done)

    @property
    def done(self) -> bool:
        """True when the work has returned, failed or been cancelled."""
        return self._future is not None and self._future.done()

    @property
    def ahead(self) -> int:
        """Number of jobs before this one in the queue; 0 once it has started."""
        return self._queue.ahead(self)

    async def states(self, waiting: Callable[[int], Any] = lambda _: None) -> AsyncIterator[Any]:
        """Yield the published states until the work ends, then raise its error if it failed.

        Parameters
        ----------
        waiting
            Makes the state to yield while the job is queued, from the number of jobs ahead.
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
                    yield self._state
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _POLL_S)
        if self._version != seen:
            yield self._state
        self.result()

    async def wait(self) -> Any:
        """Wait for the work and return its result."""
        async for _ in self.states():
            pass
        return self.result()

    def result(self) -> Any:
        """Return the result of work that has ended, or raise its error."""
        if self._future is None or self._future.cancelled():
            raise CancelledError("cancelled")
        return self._future.result()

    @contextmanager
    def _following(self) -> Iterator[asyncio.Event]:
        """Give an event of the running loop that is set at every change."""
        news = asyncio.Event()
        self._followers[news] = asyncio.get_running_loop()
        try:
            yield news
        finally:
            del self._followers[news]

    def _notify(self) -> None:
        for news, loop in list(self._followers.items()):
            with suppress(RuntimeError):  # the loop was closed before its follower ended
                loop.call_soon_threadsafe(news.set)

    def _run(self, work: Callable[[Job], Any]) -> Any:
        self.check()
        return work(self)


class JobQueue:
    """First-in, first-out queue whose jobs run in threads.

    Parameters
    ----------
    concurrency
        Number of jobs that run at the same time.
    waiting
        Number of jobs that may wait; more are refused.
    """

    def __init__(self, concurrency: int, waiting: int) -> None:
        self._concurrency, self._waiting = concurrency, waiting
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="ich-study")
        self._jobs: list[Job] = []
        self._lock = Lock()

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Queue work, which is called with its job.

        Raises
        ------
        BusyError
            If the queue is full.
        """
        job = Job(self)
        with self._lock:
            self._jobs = [one for one in self._jobs if not one.done]
            if len(self._jobs) >= self._concurrency + self._waiting:
                raise BusyError(
                    f"busy: {self._waiting} studies are waiting already; try again in a minute"
                )
            job.start(self._pool, work)
            self._jobs.append(job)
        return job

    def ahead(self, job: Job) -> int:
        """Return the number of unfinished jobs before this one; 0 if it has started."""
        with self._lock:
            before = takewhile(lambda one: one is not job, self._jobs)
            return 0 if job.started else sum(not one.done for one in before)

    def close(self) -> None:
        """Cancel all jobs and accept no more."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
