"""What a person sees of a training: a live table of epochs on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ich_cli.terminal import console

if TYPE_CHECKING:
    from ich_cli.core.train import Watch

_COLUMNS = {
    "auc_any": "AUC any", "auc_macro": "AUC macro", "log_loss": "log loss", "f1_any": "F1 any",
    "f1_macro": "F1 macro",
}  # fmt: skip


@contextmanager
def watching(what: str, epochs: int, *, quiet: bool = False) -> Iterator[Watch]:
    """Show a training: a live table on a terminal, else one line an epoch.

    Parameters
    ----------
    what
        Title: ``fold 0 of 5``.
    epochs
        How many there will be.
    quiet
        Show nothing.
    """
    from ich_cli.core.train import Watch

    if quiet:
        yield Watch()
    elif not console.stderr().is_terminal:
        console.note(what)
        yield Watch(epoch=lambda record: console.note(_line(record, epochs)), note=console.note)
    else:
        yield from _live(what, epochs)


def _live(what: str, epochs: int) -> Iterator[Watch]:
    from rich.live import Live

    from ich_cli.core.train import Watch

    records: list[dict[str, Any]] = []
    began = time.monotonic()
    first: list[int] = []

    with Live(_table(what, records, ""), console=console.stderr(), refresh_per_second=2) as live:

        def step(done: int, total: int, loss: float) -> None:
            first.append(done) if not first else None
            speed = (done - first[0]) / max(time.monotonic() - began, 1e-9)
            left = f", {_clock((total - done) / speed)} left" if speed > 0 else ""
            live.update(_table(what, records, f"step {done}/{total}, loss {loss:.4f}{left}"))

        def epoch(record: dict[str, Any]) -> None:
            records.append(record)
            live.update(_table(what, records, ""))

        yield Watch(step=step, epoch=epoch, note=live.console.print)


def _table(what: str, records: list[dict[str, Any]], caption: str) -> Any:
    from rich.table import Table

    table = Table(title=what, caption=caption or None)
    for name in ("epoch", "loss", *_COLUMNS.values(), "slices/s", "loading"):
        table.add_column(name, justify="right")
    for record in records:
        cells = [_number(record.get(key)) for key in ("loss", *_COLUMNS)]
        cells += [_speed(record), _waiting(record)]
        table.add_row(str(record["epoch"]), *cells)
    return table


def _line(record: dict[str, Any], epochs: int) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}", f"loss {record['loss']:.4f}"]
    parts += [f"{name} {_number(record[key])}" for key, name in _COLUMNS.items() if key in record]
    if "loading_share" in record:
        parts += [f"{_speed(record)} slices/s", f"loading {_waiting(record)}"]
    return "  ".join(parts)


def _speed(record: dict[str, Any]) -> str:
    return f"{record['slices_per_s']:.1f}" if "slices_per_s" in record else "-"


def _waiting(record: dict[str, Any]) -> str:
    """Return the share of the time in which the model waited for its slices."""
    return f"{record['loading_share']:.1%}" if "loading_share" in record else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
