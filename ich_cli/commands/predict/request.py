"""What a run of ``ich predict`` was asked for, and the slices that it finds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.commands.predict.reports import Reports
from ich_cli.core.errors import InputError, NothingFoundError, UsageError
from ich_cli.core.predict import ALONE, Format, Rank, rank_of, studies_path
from ich_cli.core.system import as_named
from ich_cli.terminal import progress

if TYPE_CHECKING:
    from ich_cli.core.dicom import Limits
    from ich_cli.core.series import SliceRef
    from ich_cli.core.system import Names

    Entries = list[SliceRef | InputError]

_PROCESSES: Final = 16  # more of them wait for the disk and for the one that takes their answers


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    paths: list[Path]
    limits: Limits
    thresholds: list[str] | None
    """As given; they change the bundle's."""
    weights: str | None
    device: str
    engine: str
    batch_size: int | None
    workers: int | None
    output: Path | None
    layout: Format
    """Of the output."""
    stream: Format | None
    """Of stdout; None: nothing there, or the table for people where there is no output."""
    studies: bool
    """Whether studies have rows of their own."""
    resume: bool
    quiet: bool
    reports: Reports
    names: Names = as_named
    """What files are called."""
    keyfile: Path | None = None
    """Of anonymous names."""
    rank: Rank = ALONE
    """Which of the run's processes this one is."""


def find(request: Request) -> Entries:
    """Find what there is to read, the run's own files left out."""
    from ich_cli.core.series import scan
    from ich_cli.core.system import worker_processes

    asked = request.rank.workers(request.workers)
    number = min(os.cpu_count() or 1, _PROCESSES) if asked is None else asked
    quiet = request.quiet or request.rank.number > 0
    with (
        worker_processes(number) as pool,
        progress("Looking for slices", unit="files", quiet=quiet) as advance,
    ):
        found = scan(request.paths, request.limits, lambda _: advance(1), request.names, pool).rows
    return _without_own(found, request)


def tables(request: Request) -> tuple[Path, ...]:
    """Return the files that the run writes, or might have written with ``--by study``."""
    output = request.output
    return (output, studies_path(output, request.layout)) if output else ()


def _without_own(entries: Entries, request: Request) -> Entries:
    """Leave out the run's own files, which may lie in the folder that is read."""
    files = list(filter(None, (*tables(request), request.keyfile)))
    if not files:
        return entries
    real = getattr(request.names, "real", as_named)
    names, own = {path.name for path in files}, {path.resolve() for path in files}
    beside = request.output.parent.resolve() if request.output else None
    found: Entries = []
    for entry in entries:
        called = entry.name if isinstance(entry, InputError) else entry.id.path
        path = Path(real(called))
        journal = request.output is not None and rank_of(path.name, request.output) is not None
        if journal and path.parent.resolve() == beside:
            continue
        if path.name not in names or path.resolve() not in own:
            found.append(entry)
        elif not isinstance(entry, InputError):
            raise UsageError(f"{called} is one of the scans to read; choose another name for -o")
    if not found:
        raise NothingFoundError("there is no file to read besides the output's own")
    return found
