"""The steps of ``ich predict``: find, load, answer, write."""

from __future__ import annotations

import glob
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli._version import __version__
from ich_cli.console import is_terminal, progress, stdout
from ich_cli.core.atomic import aside, sweep
from ich_cli.core.batch import Seam, Tally, find_seam, keep, studies_path, write_tables
from ich_cli.core.errors import InputError, NothingFoundError, UsageError
from ich_cli.core.journal import Journal, fingerprint
from ich_cli.core.naming import as_named
from ich_cli.core.prediction import SlicePrediction, by_study
from ich_cli.core.writers import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    open_table,
    slice_row,
    study_row,
)
from ich_cli.options import parse_thresholds
from ich_cli.report import slices_table, studies_table
from ich_cli.reporting import Reports

if TYPE_CHECKING:
    from rich.table import Table

    from ich_cli.core.config import Limits
    from ich_cli.core.naming import Names
    from ich_cli.core.predictor import Predictor
    from ich_cli.core.series import FrameRef
    from ich_cli.core.study_rule import StudyRule

    Entries = list[FrameRef | InputError]


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


def run(request: Request) -> tuple[Tally, str]:
    """Answer for every slice; return the counts, and the caveat that must stand beside them."""
    output, quiet = request.output, request.quiet
    request.reports.prepare()
    # opening the journal tells now what could not be written later
    with Journal(output) if output else nullcontext() as journal:
        for path in _tables(request):
            sweep(path.parent, glob.escape(path.name))
        entries = _without_own(_find(request), request)
        predictor = _load(request, len(entries))
        defaults = dict(predictor.bundle.config.thresholds)
        chosen = parse_thresholds(request.thresholds, defaults)
        seam = _begin(journal, predictor, chosen, entries, request.resume) if journal else Seam()
        rows = predictor.stream(
            entries,
            start=seam.start,  # those before it stay known as neighbours
            workers=request.workers,
            limits=request.limits,
            thresholds=chosen,
        )
        tally = Tally(len(entries), seam.kept, engine=predictor.engine.told)
        rule = predictor.study_rule(chosen)
        with _interruptible(journal, len(entries)):
            passing = keep(journal, rows, seam) if journal else rows
            kept = _consume(passing, request, tally, rule)
        if request.reports:  # before the tables: a run that is stopped here goes on with --resume
            from ich_cli.core.study_result import study_results

            results = study_results(
                predictor, entries, kept, limits=request.limits, thresholds=chosen
            )
            tally.written += request.reports.write(results, quiet=quiet)
        if journal:
            tables = write_tables(journal, request.layout, rule if request.studies else None)
            tally.written = tables + tally.written
    return tally, predictor.caveat


def _find(request: Request) -> Entries:
    from ich_cli.core.series import scan

    with progress("Looking for slices", unit="files", quiet=request.quiet) as advance:
        return scan(request.paths, request.limits, lambda _: advance(1), request.names)


def _tables(request: Request) -> tuple[Path, ...]:
    """Return the files that the run writes, or might have written with ``--by study``."""
    output = request.output
    return (output, studies_path(output, request.layout)) if output else ()


def _without_own(entries: Entries, request: Request) -> Entries:
    """Leave out the run's own files, which may lie in the folder that is read."""
    files = list(filter(None, (*_tables(request), request.keyfile)))
    files += [aside(request.output, "partial")] if request.output else []
    if not files:
        return entries
    real = getattr(request.names, "real", as_named)
    names, own = {path.name for path in files}, {path.resolve() for path in files}
    found: Entries = []
    for entry in entries:
        called = entry.name if isinstance(entry, InputError) else entry.id.path
        path = Path(real(called))
        if path.name not in names or path.resolve() not in own:
            found.append(entry)
        elif not isinstance(entry, InputError):
            raise UsageError(f"{called} is one of the scans to read; choose another name for -o")
    if not found:
        raise NothingFoundError("there is no file to read besides the output's own")
    return found


def _load(request: Request, slices: int) -> Predictor:
    with progress("Loading the model", unit="", quiet=request.quiet):
        from ich_cli.core.predictor import Predictor  # torch: seconds

        return Predictor.load(
            request.weights, device=request.device, batch_size=request.batch_size,
            engine=request.engine, slices=slices,
        )  # fmt: skip


def _begin(
    journal: Journal,
    predictor: Predictor,
    thresholds: Mapping[str, float],
    entries: Entries,
    resume: bool,
) -> Seam:
    """Start or resume the journal; its manifest's keys are the words that tell a difference."""
    bundle = json.dumps(predictor.bundle.config.to_dict(), sort_keys=True)
    files = (str(e if isinstance(e, InputError) else tuple(e.id)) for e in entries)
    kind = predictor.device.type
    together = 1 if kind == "cpu" else predictor.batch_size
    manifest = {
        "version of ich": __version__,
        "weights": fingerprint([bundle]),
        "thresholds": dict(thresholds),
        "files": fingerprint(files),
        "device": kind,
        "batch size": together,
        "engine": str(predictor.engine),
    }
    journal.begin(manifest, resume=resume)
    context = max(one.context for one in predictor.preprocess)
    return find_seam(journal, len(entries), together, context)


@contextmanager
def _interruptible(journal: Journal | None, total: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        if journal and journal.rows_kept:
            raise type(stop)(
                f"{str(stop) or 'interrupted'}; {journal.rows_kept} of {total} rows are kept: "
                "the same command with --resume goes on"
            ) from None
        raise


def _consume(
    rows: Iterable[SlicePrediction], request: Request, tally: Tally, rule: StudyRule
) -> list[SlicePrediction]:
    """Let all rows pass by, to stdout where they go there; return them if reports need them."""
    table: Table | None = None
    kept: list[SlicePrediction] = []
    silent = request.quiet or (request.stream is not None and is_terminal())
    with progress("Predicting", tally.total, quiet=silent) as advance:
        passing = tally.watch(rows, advance)
        if request.reports:
            passing = _copied(passing, kept)
        if request.stream:
            _to_stdout(passing, request.stream, rule if request.studies else None)
        elif request.output:
            deque(passing, maxlen=0)
        else:
            studies = request.studies
            table = studies_table(by_study(passing, rule)) if studies else slices_table(passing)
    if table:
        stdout().print(table)
    return kept


def _copied(
    rows: Iterable[SlicePrediction], into: list[SlicePrediction]
) -> Iterator[SlicePrediction]:
    for row in rows:
        into.append(row)
        yield row


def _to_stdout(rows: Iterable[SlicePrediction], format: Format, rule: StudyRule | None) -> None:
    columns = STUDY_COLUMNS if rule else SLICE_COLUMNS
    lines = map(study_row, by_study(rows, rule)) if rule else map(slice_row, rows)
    with open_table(sys.stdout.buffer, format, columns) as writer:
        for line in lines:
            writer.append(line)
