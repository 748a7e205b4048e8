"""Progress of a training: a live table of epochs on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ich_cli.terminal import console

if TYPE_CHECKING:
    from ich_cli.core.train import Callbacks

_COLUMNS = {
    "auc_any": "AUC any", "auc_macro": "AUC macro", "log_loss": "log loss", "f1_any": "F1 any",
    "f1_macro": "F1 macro",
}  # fmt: skip


@contextmanager
def show_training(title: str, epochs: int, *, quiet: bool = False) -> Iterator[Callbacks]:
    """Yield callbacks that show a training: a live table on a terminal, else a line per epoch.

    Parameters
    ----------
    title
        Title of the table: ``fold 0 of 5``.
    epochs
        Number of epochs.
    quiet
        Show nothing.
    """
    from ich_cli.core.train import Callbacks

    if quiet:
        yield Callbacks()
    elif not console.stderr().is_terminal:
        console.note(title)
        yield Callbacks(epoch=lambda record: console.note(_line(record, epochs)), note=console.note)
    else:
        yield from _live(title, epochs)


def _live(title: str, epochs: int) -> Iterator[Callbacks]:
    from rich.live import Live

    from ich_cli.core.train import Callbacks

    records: list[dict[str, Any]] = []
    started = time.monotonic()
    first: list[int] = []

    with Live(_table(title, records, ""), console=console.stderr(), refresh_per_second=2) as live:

        def step(done: int, total: int, loss: float) -> None:
            first.append(done) if not first else None
            speed = (done - first[0]) / max(time.monotonic() - started, 1e-9)
            left = f", {_duration((total - done) / speed)} left" if speed > 0 else ""
            live.update(_table(title, records, f"step {done}/{total}, loss {loss:.4f}{left}"))

        def epoch(record: dict[str, Any]) -> None:
            records.append(record)
            live.update(_table(title, records, ""))

        yield Callbacks(step=step, epoch=epoch, note=live.console.print)


def _table(title: str, records: list[dict[str, Any]], caption: str) -> Any:
    from rich.table import Table

    table = Table(title=title, caption=caption or None)
    for name in ("epoch", "loss", *_COLUMNS.values(), "slices/s", "loading"):
        table.add_column(name, justify="right")
    for record in records:
        cells = [_number(record.get(key)) for key in ("loss", *_COLUMNS)]
        cells += [_speed(record), _loading(record)]
        table.add_row(str(record["epoch"]), *cells)
    return table


def _line(record: dict[str, Any], epochs: int) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}", f"loss {record['loss']:.4f}"]
    parts += [f"{name} {_number(record[key])}" for key, name in _COLUMNS.items() if key in record]
    if "loading_share" in record:
        parts += [f"{_speed(record)} slices/s", f"loading {_loading(record)}"]
    return "  ".join(parts)


def _speed(record: dict[str, Any]) -> str:
    return f"{record['slices_per_s']:.1f}" if "slices_per_s" in record else "-"


def _loading(record: dict[str, Any]) -> str:
    """Return the fraction of time spent waiting for slices, as text."""
    return f"{record['loading_share']:.1%}" if "loading_share" in record else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
