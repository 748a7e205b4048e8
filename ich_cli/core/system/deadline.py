"""Run blocking file reads with a deadline, so that a stalled network folder fails single files.

A thread that waits for a disk cannot be interrupted. Reads therefore run in daemon threads, which
never keep the program from exiting. A thread that misses its deadline is abandoned until its read
returns; then it is used again. While too many threads are abandoned, further reads fail at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

from ich_cli.core.errors import BrokenFileError, LimitError, ReasonCode

T = TypeVar("T")

_MAX_ABANDONED: Final = 32
_REMEDY: Final = "check the disk or network folder, then run again"


class DeadlineExecutor:
    """Pool of daemon threads that grows with the number of concurrent calls.

    Parameters
    ----------
    max_abandoned
        Maximum number of threads that may be past their deadline.
    """

    def __init__(self, max_abandoned: int = _MAX_ABANDONED) -> None:
        self._max_abandoned = max_abandoned
        self.reset()

    def reset(self) -> None:
        """Forget all threads: a forked child has none of them."""
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._abandoned: set[_Worker] = set()

    def run(self, function: Callable[[], T], seconds: float, name: str) -> T:
        """Return what `function` returns, or raise what it raises, within `seconds`.

        Parameters
        ----------
        name
            File name for error messages.

        Raises
        ------
        BrokenFileError
            If the deadline passes, or too many earlier reads are still pending.
        LimitError
            If no thread can be started.
        """
        with self._lock:
            if len(self._abandoned) >= self._max_abandoned:
                reason = f"not read: {self._max_abandoned} files before it did not answer"
                raise BrokenFileError(name, reason, _REMEDY, ReasonCode.TIMEOUT)
            worker = self._idle.pop() if self._idle else self._start(name)
        future: Future[Any] = Future()
        worker.queue.put((function, future))
        try:
            return cast(T, future.result(min(seconds, threading.TIMEOUT_MAX)))
        except TimeoutError:  # the deadline passed, or `function` itself raised TimeoutError
            with self._lock:
                if not future.done():
                    self._abandoned.add(worker)
                    reason = f"did not answer within {seconds:g} s"
                    raise BrokenFileError(name, reason, _REMEDY, ReasonCode.TIMEOUT) from None
        return cast(T, future.result())

    def _start(self, name: str) -> _Worker:
        try:
            return _Worker(self._finish)
        except RuntimeError:  # no memory, or the user's thread limit is reached
            remedy = "free memory, or end other programs"
            raise LimitError(name, "no thread can be started to read it", remedy) from None

    def _finish(self, worker: _Worker, set_result: Callable[[], None]) -> None:
        """Set the result and return the thread to the pool in one step."""
        with self._lock:
            set_result()
            self._abandoned.discard(worker)
            self._idle.append(worker)


class _Worker(threading.Thread):
    """Daemon thread that runs one function after another."""

    def __init__(self, finish: Callable[[_Worker, Callable[[], None]], None]) -> None:
        super().__init__(name="ich-deadline", daemon=True)
        self._finish = finish
        self.queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            self._run(*self.queue.get())

    def _run(self, function: Callable[[], Any], future: Future[Any]) -> None:
        try:
            set_result = partial(future.set_result, function())
        except BaseException as error:  # raised where the result is read
            set_result = partial(future.set_exception, error)
        self._finish(self, set_result)


_EXECUTOR: Final = DeadlineExecutor()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_EXECUTOR.reset)


run_with_deadline: Final = _EXECUTOR.run
"""Run a blocking read in a daemon thread; see `DeadlineExecutor.run`."""
