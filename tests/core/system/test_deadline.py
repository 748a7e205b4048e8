"""Blocking reads end at their deadline and never keep the program from exiting."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from ich_cli.core.errors import BrokenFileError, LimitError
from ich_cli.core.system.deadline import DeadlineExecutor


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event that is not set before the test is over, unless the test sets it."""
    event = threading.Event()
    yield event
    event.set()


def miss_deadline(executor: DeadlineExecutor, event: threading.Event) -> str:
    with pytest.raises(BrokenFileError) as caught:
        executor.run(event.wait, 0.01, "a.dcm")
    assert caught.value.name == "a.dcm"
    return caught.value.note


def test_results_and_errors_are_passed_on() -> None:
    executor = DeadlineExecutor()
    assert executor.run(lambda: 6 * 7, 60, "a") == 42
    with pytest.raises(ZeroDivisionError):
        executor.run(lambda: 1 // 0, 60, "a")
    with pytest.raises(TimeoutError, match="from the system"):
        executor.run(lambda: (_ for _ in ()).throw(TimeoutError("from the system")), 60, "a")


def test_a_missed_deadline_is_an_error_of_the_file(never: threading.Event) -> None:
    assert miss_deadline(DeadlineExecutor(), never) == (
        "did not answer within 0.01 s; check the disk or network folder, then run again"
    )


def test_sequential_calls_share_one_thread() -> None:
    executor = DeadlineExecutor()
    names = {executor.run(threading.get_ident, 60, "a") for _ in range(20)}
    assert len(names) == 1


def test_an_abandoned_thread_is_used_again_when_its_read_returns(never: threading.Event) -> None:
    executor = DeadlineExecutor(max_abandoned=1)
    miss_deadline(executor, never)
    (abandoned,) = executor._abandoned
    never.set()
    done = threading.Event()
    future: Future[None] = Future()
    abandoned.queue.put((done.set, future))
    future.result(60)
    assert done.is_set()
    assert not executor._abandoned
    assert executor.run(threading.get_ident, 60, "a") == abandoned.ident


def test_the_number_of_abandoned_threads_is_limited(never: threading.Event) -> None:
    executor = DeadlineExecutor(max_abandoned=2)
    for _ in range(2):
        miss_deadline(executor, never)
    with pytest.raises(BrokenFileError, match="not read: 2 files before it did not answer"):
        executor.run(lambda: 1, 60, "b.dcm")


def test_the_file_fails_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(LimitError, match="no thread can be started"):
        DeadlineExecutor().run(lambda: 1, 60, "a")


def run(code: str) -> int:
    head = "import threading\nfrom ich_cli.core.system import run_with_deadline\n"
    return subprocess.run([sys.executable, "-c", head + code], timeout=60, check=False).returncode


def test_an_abandoned_thread_does_not_block_exit() -> None:
    code = """
try:
    run_with_deadline(threading.Event().wait, 0.01, "a")
except Exception:
    raise SystemExit(7)
"""
    assert run(code) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_starts_its_own_threads() -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads: the case under test
run_with_deadline(lambda: 1, 60, "a")
child = os.fork()
if not child:
    os._exit(run_with_deadline(lambda: 5, 20, "a"))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == 5
