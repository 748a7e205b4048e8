"""What a person sees: results go to stdout, progress and notes to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PATIENCE = 1.0
"""Seconds of work that pass before progress is shown."""


def plain(text: str) -> str:
    """Return `text` without control characters, so that a file's name cannot steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def stdout() -> Console:
    """Return rich's console on stdout, for tables meant for people."""
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def stderr() -> Console:
    """Return rich's console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def is_terminal() -> bool:
    """Say whether a person reads stdout."""
    return sys.stdout.isatty()


def note(text: str, *, quiet: bool = False) -> None:
    """Write one line to stderr, unless `quiet`."""
    if not quiet:
        sys.stderr.write(plain(text) + "\n")
        sys.stderr.flush()


def warn(text: str) -> None:
    """Write one line to stderr that even ``--quiet`` does not silence."""
    note(f"ich: {text}")


@contextmanager
def progress(
    what: str, total: int | None = None, *, unit: str = "slices", quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr while the block runs.

    Nothing is shown with `quiet`, where stderr is no terminal, and in the first second.

    Parameters
    ----------
    what
        What is being done: ``Reading``.
    total
        How many steps there are, where that is known.
    unit
        What is counted; empty where nothing is.

    Yields
    ------
    callable
        ``advance(n)``: n more steps are done.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _bar(total, unit)
    task = bar.add_task(what, total=total)
    shown = Lock()

    def show() -> None:
        if shown.acquire(blocking=False):
            bar.start()

    timer = Timer(PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield lambda steps: bar.advance(task, steps)
    finally:
        timer.cancel()
        if not shown.acquire(blocking=False):  # the timer was first
            timer.join()
            bar.stop()


def _bar(total: int | None, unit: str) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {unit}/s" if speed else "", style="dim")

    columns: list[ProgressColumn] = [TextColumn("{task.description}")]
    if total is None:
        columns.insert(0, SpinnerColumn())
        columns += [TextColumn(f"{{task.completed}} {unit}", style="dim")] if unit else []
    else:
        columns += [BarColumn(bar_width=30), MofNCompleteColumn(), Speed()]
        columns.append(TimeRemainingColumn(compact=True))
    return Progress(*columns, console=stderr(), transient=True)
