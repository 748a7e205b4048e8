"""What the system never answers costs the one who asked, for a bounded time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ich_cli.core.errors import BrokenFileError, LimitError
from ich_cli.core.system.deadline import Asking


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An answer that does not come until the test is over, or sets it."""
    event = threading.Event()
    yield event
    event.set()


def note(asking: Asking, event: threading.Event) -> str:
    with pytest.raises(BrokenFileError) as caught:
        asking.ask(event.wait, 0.01, "a.dcm")
    assert caught.value.name == "a.dcm"
    return caught.value.note


def test_answers_and_errors_come_through() -> None:
    asking = Asking()
    assert asking.ask(lambda: 6 * 7, 60, "a") == 42
    with pytest.raises(ZeroDivisionError):
        asking.ask(lambda: 1 // 0, 60, "a")
    with pytest.raises(TimeoutError, match="the system's own"):
        asking.ask(lambda: (_ for _ in ()).throw(TimeoutError("the system's own")), 60, "a")


def test_who_does_not_answer_is_told_of(never: threading.Event) -> None:
    assert note(Asking(), never) == (
        "did not answer within 0.01 s; check the disk or network folder, then run again"
    )


def test_one_thread_serves_one_after_the_other() -> None:
    asking = Asking()
    names = {asking.ask(threading.get_ident, 60, "a") for _ in range(20)}
    assert len(names) == 1


def test_a_thread_left_behind_is_not_waited_for_and_serves_again(never: threading.Event) -> None:
    asking = Asking(most=1)
    note(asking, never)
    (left,) = asking._left
    never.set()
    done = threading.Event()
    left.take(done.set).result(60)  # it has come back: what it is asked, it does
    assert done.is_set()
    assert not asking._left
    assert asking.ask(threading.get_ident, 60, "a") == left.ident


def test_only_so_many_are_left_behind(never: threading.Event) -> None:
    asking = Asking(most=2)
    for _ in range(2):
        note(asking, never)
    with pytest.raises(BrokenFileError, match="not read: 2 files before it did not answer"):
        asking.ask(lambda: 1, 60, "b.dcm")


def test_where_no_thread_can_be_started_the_file_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(LimitError, match="no thread can be started"):
        Asking().ask(lambda: 1, 60, "a")


def run(code: str) -> int:
    head = "import threading\nfrom ich_cli.core.system.deadline import ASKING\n"
    return subprocess.run([sys.executable, "-c", head + code], timeout=60, check=False).returncode


def test_a_thread_left_behind_keeps_no_program_from_ending() -> None:
    code = """
try:
    ASKING.ask(threading.Event().wait, 0.01, "a")
except Exception:
    raise SystemExit(7)
"""
    assert run(code) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork beside threads, which is the point
ASKING.ask(lambda: 1, 60, "a")
child = os.fork()
if not child:
    os._exit(ASKING.ask(lambda: 5, 20, "a"))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == 5
