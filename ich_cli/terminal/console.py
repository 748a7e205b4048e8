"""Console output: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PROGRESS_DELAY = 1.0
"""Delay before the progress bar appears, in seconds."""


def plain(text: str) -> str:
    """Return `text` with control characters escaped, since file names may contain any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def stdout() -> Console:
    """Return a rich console on stdout, for tables."""
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def stderr() -> Console:
    """Return a rich console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def note(text: str, *, quiet: bool = False) -> None:
    """Write one line to stderr, unless `quiet`."""
    if not quiet:
        sys.stderr.write(plain(text) + "\n")
        sys.stderr.flush()


def warn(text: str) -> None:
    """Write one line to stderr, also with ``--quiet``."""
    note(f"ich: {text}")


@contextmanager
def progress(
    what: str, total: int | None = None, *, unit: str = "slices", quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr while the block runs.

    Nothing is shown with `quiet`, if stderr is not a terminal, or during the first second.

    Parameters
    ----------
    what
        Description, such as ``Reading``.
    total
        Number of steps, if known.
    unit
        Unit of the steps; empty if they are not counted.

    Yields
    ------
    callable
        ``advance(n)`` adds n completed steps.
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

    timer = Timer(PROGRESS_DELAY, show)
    timer.daemon = True
    timer.start()
    try:
        yield lambda steps: bar.advance(task, steps)
    finally:
        timer.cancel()
        if not shown.acquire(blocking=False):  # the timer has started it
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


def as_steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Turn a callback for steps into one for the number of slices done."""
    shown = 0

    def show(done: int) -> None:
        nonlocal shown
        advance(done - shown)
        shown = done

    return show
