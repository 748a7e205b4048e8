"""Ask of the system what it may never answer: a read of a network folder that has stalled.

    load, scan ──▶ ASKING.ask(question) ──▶ an idle thread, or a new one ──▶ answer
                          │ none within the time
                          └──▶ InputError for this file; the thread is left behind

Nothing can interrupt a thread that waits for a disk. So it is a daemon, which keeps no program from
ending, and is left to wait. When it does come back it serves again. Of those left behind there are
only so many: then files fail at once, until one has come back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

from ich_cli.core.errors import BrokenFileError, LimitError

T = TypeVar("T")

_MOST: Final = 32
"""Threads that may be left behind."""
_REMEDY: Final = "check the disk or network folder, then run again"

Question = Callable[[], Any]


class Asking:
    """Threads that ask the system: as many as are asked at once.

    Parameters
    ----------
    most
        How many may be left behind without an answer.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Know no thread: there is none in a forked child."""
        self._lock = threading.Lock()
        self._idle: list[_Asker] = []
        self._left: set[_Asker] = set()

    def ask(self, question: Callable[[], T], seconds: float, name: str) -> T:
        """Return what `question` returns, or raise what it raises, within `seconds`.

        Raises
        ------
        BrokenFileError
            If there is no answer in time, or too many are owed already.
        LimitError
            If no thread can be started.
        """
        with self._lock:
            if len(self._left) >= self._most:
                reason = f"not read: {self._most} files before it did not answer"
                raise BrokenFileError(name, reason, _REMEDY)
            asker = self._idle.pop() if self._idle else self._start(name)
        answer = asker.take(question)
        try:
            return cast(T, answer.result(min(seconds, threading.TIMEOUT_MAX)))
        except TimeoutError:  # or what was asked raised it
            with self._lock:
                if not answer.done():
                    self._left.add(asker)
                    reason = f"did not answer within {seconds:g} s"
                    raise BrokenFileError(name, reason, _REMEDY) from None
        return cast(T, answer.result())

    def _start(self, name: str) -> _Asker:
        try:
            return _Asker(self._done)
        except RuntimeError:  # no memory, or the user's limit of threads
            remedy = "free memory, or end other programs"
            raise LimitError(name, "no thread can be started to read it", remedy) from None

    def _done(self, asker: _Asker, tell: Callable[[], None]) -> None:
        """Take a thread back, and tell its answer, so that nobody sees one without the other."""
        with self._lock:
            tell()
            self._left.discard(asker)
            self._idle.append(asker)


class _Asker(threading.Thread):
    """One thread that asks."""

    def __init__(self, done: Callable[[_Asker, Callable[[], None]], None]) -> None:
        super().__init__(name="ich-ask", daemon=True)
        self._done = done
        self._questions: SimpleQueue[tuple[Question, Future[Any]]] = SimpleQueue()
        self.start()

    def take(self, question: Question) -> Future[Any]:
        """Begin to ask; the future has the answer."""
        answer: Future[Any] = Future()
        self._questions.put((question, answer))
        return answer

    def run(self) -> None:
        while True:
            self._ask(*self._questions.get())

    def _ask(self, question: Question, answer: Future[Any]) -> None:
        try:
            tell = partial(answer.set_result, question())
        except BaseException as error:  # is raised where the answer is read
            tell = partial(answer.set_exception, error)
        self._done(self, tell)


ASKING: Final = Asking()
"""The threads of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ASKING.forget)
