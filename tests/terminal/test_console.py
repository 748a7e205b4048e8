"""What a person at a terminal sees: progress that comes late and goes, a table of epochs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from ich_cli.terminal import console, show_training


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without the codes that move the cursor and colour."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


class AtOnce:
    """A timer whose time is up as soon as it starts."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self.seconds, self._action = seconds, action

    def start(self) -> None:
        self._action()

    def cancel(self) -> None: ...
    def join(self) -> None: ...


class Never(AtOnce):
    def start(self) -> None: ...


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()  # a test sets it itself: pytest's capture sets its own before each test


def test_progress_counts_up_to_the_total(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(console, "Timer", AtOnce)
    with console.progress("Reading", total=40) as advance:
        advance(30)
        advance(10)
    assert "Reading" in terminal.text
    assert "40/40" in terminal.text


def test_progress_without_a_total_counts(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(console, "Timer", AtOnce)
    with console.progress("Looking", unit="files") as advance:
        advance(7)
    assert "Looking" in terminal.text
    assert "7 files" in terminal.text
    with console.progress("Waiting", unit=""):
        pass
    assert "Waiting" in terminal.text
    assert "0 " not in terminal.text.rpartition("Waiting")[2]


def test_what_takes_less_than_a_second_shows_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(console, "Timer", Never)
    with console.progress("Reading", total=2) as advance:
        advance(2)
    assert terminal.getvalue() == ""


def test_an_error_removes_the_bar_and_propagates(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(console, "Timer", AtOnce)
    with pytest.raises(KeyError), console.progress("Reading", total=2):
        raise KeyError
    assert terminal.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))  # line erased, cursor shown


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_is_shown_when_quiet_or_without_a_terminal(
    quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal() if quiet else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(console, "Timer", AtOnce)
    with console.progress("Reading", total=1, quiet=quiet) as advance:
        advance(1)
    assert stream.getvalue() == ""


EPOCH = {
    "epoch": 1, "loss": 0.51239, "auc_any": 0.91, "auc_macro": None, "log_loss": 0.2,
    "f1_any": 0.5, "f1_macro": 0.25, "slices_per_s": 812.04, "loading_share": 0.0344,
}  # fmt: skip


def test_a_training_at_a_terminal_is_a_live_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    clock = iter([100.0, 110.0, 120.0, 130.0])
    monkeypatch.setattr("ich_cli.terminal.training_progress.time.monotonic", lambda: next(clock))
    with show_training("fold 0 of 5", 3) as callbacks:
        callbacks.step(1, 10_000, 0.75)  # 10 s: where it starts, not yet a speed
        callbacks.step(3, 10_000, 0.5)  # two more steps in 20 s: 9997 left take 99970 s
        callbacks.note("resumed")
        callbacks.epoch(EPOCH)
    text = terminal.text
    assert "fold 0 of 5" in text
    assert "resumed" in text
    cells = ["1", "0.5124", "0.9100", "-", "0.2000", "0.5000", "0.2500", "812.0", "3.4%"]
    assert re.search(r"\s*│\s*".join(map(re.escape, cells)), text)
    assert "step" not in text.rpartition("resumed")[2].rpartition("AUC any")[2]  # it is over


def test_the_step_and_the_time_left_stand_under_the_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    clock = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr("ich_cli.terminal.training_progress.time.monotonic", lambda: next(clock))
    with show_training("fold 1 of 5", 3) as callbacks:
        callbacks.step(1, 100, 0.75)
        callbacks.step(3, 100, 0.5)  # two steps in 20 s: 97 more take 970 s
    assert "step 3/100, loss 0.5000, 16:10 left" in terminal.text


def test_a_training_in_a_log_is_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with show_training("fold 0 of 5", 3) as callbacks:
        callbacks.step(1, 10, 0.5)
        callbacks.epoch(EPOCH)
        callbacks.note("done")
    assert capsys.readouterr().err.splitlines() == [
        "fold 0 of 5",
        "epoch 1/3  loss 0.5124  AUC any 0.9100  AUC macro -  log loss 0.2000  F1 any 0.5000  "
        "F1 macro 0.2500  812.0 slices/s  loading 3.4%",
        "done",
    ]


def test_a_quiet_training_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_training("fold 0 of 5", 3, quiet=True) as callbacks:
        callbacks.step(1, 10, 0.5)
        callbacks.epoch(EPOCH)
    assert capsys.readouterr() == ("", "")
