"""Options of a run of ``ich predict``, and the slices that it finds."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.commands.predict.reports import Reports
from ich_cli.core.errors import NothingFoundError, UsageError
from ich_cli.core.predict import Format, parts_folder, studies_path
from ich_cli.core.system import as_named, temporary_sibling
from ich_cli.terminal import progress

if TYPE_CHECKING:
    from ich_cli.core.dicom import Limits, SliceId
    from ich_cli.core.pictures import PictureWindow
    from ich_cli.core.series import Scan
    from ich_cli.core.system import Names

_PROCESSES: Final = 16  # more would wait for the disk and the main process


@dataclass(frozen=True)
class Request:
    """Options of a run."""

    paths: list[Path]
    limits: Limits
    thresholds: list[str] | None
    """Values of ``--threshold``, which override the bundle's."""
    weights: str | None
    device: str
    engine: str
    batch_size: int | None
    workers: int | None
    output: Path | None
    layout: Format
    """Format of the output."""
    stream: Format | None
    """Format of stdout; None prints no rows, or a table for people without `output`."""
    studies: bool
    """Write a table of studies as well."""
    all_series: bool
    """Use all series of a study, not only the one that fits."""
    resume: bool
    quiet: bool
    reports: Reports
    names: Names = as_named
    """Map file names to the names in rows, notes and errors."""
    keyfile: Path | None = None
    """Key file of anonymous names."""
    window: PictureWindow | None = None
    """Window of PNG and JPEG files; None refuses them."""

    @property
    def prints_studies(self) -> bool:
        """True if rows of studies are written to stdout."""
        return self.studies and self.stream is not None

    @property
    def prints_for_people(self) -> bool:
        """True if a table for people is printed to stdout."""
        return not self.output and self.stream is None


def find(request: Request) -> Scan:
    """Find the slices to read, without the files that the run itself writes.

    Raises
    ------
    NothingFoundError
        If there is no file to read.
    UsageError
        If the run would overwrite a scan.
    """
    from ich_cli.core.series import scan
    from ich_cli.core.system import worker_processes

    wanted = request.workers
    number = min(os.cpu_count() or 1, _PROCESSES) if wanted is None else wanted
    with (
        worker_processes(number) as pool,
        progress("Finding slices", unit="files", quiet=request.quiet) as advance,
    ):
        found = scan(
            request.paths, request.limits, lambda _: advance(1), request.names, pool,
            request.window,
        )  # fmt: skip
    return _without_own_files(found, request)


def tables(request: Request) -> tuple[Path, ...]:
    """Return the files that the run writes, or might have written with ``--by study``."""
    output = request.output
    return (output, studies_path(output, request.layout)) if output else ()


def _without_own_files(found: Scan, request: Request) -> Scan:
    """Leave out files that the run itself writes, which may be in the input folder."""
    own = [*tables(request), *filter(None, [request.keyfile])]
    folder = None
    if request.output:
        own.append(temporary_sibling(request.output, "lock"))
        folder = parts_folder(request.output).resolve()
    if not own:
        return found
    real = getattr(request.names, "real", as_named)
    names, places = {path.name for path in own}, {path.resolve() for path in own}

    def is_own(id: SliceId) -> bool:
        path = Path(real(id.path))
        if folder and path.parent.name == folder.name:
            return path.parent.resolve() == folder
        return path.name in names and path.resolve() in places

    for series in found.series:
        ids = [*(one.id for one in series.slices), *(one.id for one in series.refused)]
        if own_scan := next(filter(is_own, ids), None):
            raise UsageError(
                f"{own_scan.path} is one of the scans to read; choose another name for -o"
            )
    others = tuple(one for one in found.refused if not is_own(one.id))
    if not found.series and not others:
        raise NothingFoundError("there are no input files besides the output")
    return replace(found, refused=others)
