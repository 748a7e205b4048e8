"""``ich predict``: one row a slice, whatever the files are."""

from __future__ import annotations

import json as json_text
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ich_cli._version import __version__
from ich_cli.console import is_terminal, note, progress, stdout, warn
from ich_cli.core.atomic import aside
from ich_cli.core.batch import Seam, Tally, find_seam, keep, studies_path, write_tables
from ich_cli.core.errors import IchError, InputError, NothingFoundError, UsageError
from ich_cli.core.journal import Journal, fingerprint
from ich_cli.core.labels import LABELS
from ich_cli.core.prediction import SlicePrediction, by_study
from ich_cli.core.writers import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    format_of,
    open_table,
    slice_row,
    study_row,
)
from ich_cli.options import (
    BatchSize,
    Device,
    Json,
    Limit,
    Output,
    Paths,
    Quiet,
    Threshold,
    Weights,
    Workers,
    parse_limits,
    parse_thresholds,
)
from ich_cli.report import nothing_read, slices_table, studies_table, summary

if TYPE_CHECKING:
    from rich.table import Table

    from ich_cli.core.config import Limits
    from ich_cli.core.predictor import Predictor
    from ich_cli.core.series import FrameRef

    Entries = list[FrameRef | InputError]


class By(StrEnum):
    """What has a row."""

    slice = "slice"
    study = "study"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", "-f", show_default=False,
        help="Layout of the table; else the ending of -o tells.",
    ),
]  # fmt: skip
ByOption = Annotated[
    By, typer.Option("--by", help="study: a table of studies as well, most urgent first.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a run that was stopped left off.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file failed.")]


def predict(
    paths: Paths,
    output: Output = None,
    format: FormatOption = None,
    by: ByOption = By.slice,
    threshold: Threshold = None,
    json: Json = False,
    resume: Resume = False,
    strict: Strict = False,
    weights: Weights = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Say how likely each slice shows a hemorrhage, and of which subtype.

    Takes DICOM files, folders and zips. Every file has a row, also one that could not be used:
    its status and note say why. Without -o: a table of the most urgent slices on a terminal,
    CSV where stdout goes elsewhere.

    Example: ich predict scans/ -o out.csv --by study
    """
    limits = parse_limits(limit)
    parse_thresholds(threshold, dict.fromkeys(LABELS, 0.5))  # wrong usage is told at once
    sinks = _sinks(output, format, by, json)
    if resume and not output:
        raise UsageError("--resume goes on with a file; name it with -o")
    with Journal(output) if output else nullcontext() as journal:  # tells now what cannot be
        entries = _without_own(_find(paths, limits, quiet), sinks)  # written later
        predictor = _load(weights, device, batch_size, quiet)
        chosen = parse_thresholds(threshold, dict(predictor.bundle.config.thresholds))
        seam = _begin(journal, predictor, chosen, entries, resume) if journal else Seam()
        rest = entries[seam.start :]
        rows = predictor.stream(rest, workers=workers, limits=limits, thresholds=chosen)
        with _interruptible(journal, len(entries)):
            rows = keep(journal, rows, seam) if journal else rows
            tally = _run(rows, sinks, Tally(len(entries), seam.kept), quiet)
        if journal:
            tally.written = write_tables(journal, sinks.layout, studies=by is By.study)
    _end(tally, predictor.caveat, strict=strict, quiet=quiet)


@dataclass(frozen=True)
class _Sinks:
    """Where the rows go."""

    output: Path | None
    layout: Format
    """Of the output."""
    stream: Format | None
    """Of stdout; None: nothing there, or the table for people where there is no output."""
    by: By

    def own(self) -> set[Path]:
        """Return the files that the run itself writes."""
        if not self.output:
            return set()
        own = (self.output, studies_path(self.output, self.layout), aside(self.output, "partial"))
        return {path.resolve() for path in own}


def _sinks(output: Path | None, format: Format | None, by: By, json: bool) -> _Sinks:
    if json and format and not output:
        raise UsageError("--json is a format of its own; leave out --format, or name a file by -o")
    stream = Format.jsonl if json else None
    if not output and not json:
        stream = format or (None if is_terminal() else Format.csv)
    if stream is Format.parquet:
        raise UsageError("parquet needs a file; name it with -o")
    if stream is Format.rsna and by is By.study:
        raise UsageError("an RSNA submission has slices, not studies; leave out --by study")
    layout = (format or format_of(output)) if output else Format.csv
    return _Sinks(output, layout, stream, by)


def _find(paths: list[Path], limits: Limits, quiet: bool) -> Entries:
    from ich_cli.core.series import scan

    with progress("Looking for slices", unit="files", quiet=quiet) as advance:
        return scan(paths, limits, lambda _: advance(1))


def _without_own(entries: Entries, sinks: _Sinks) -> Entries:
    """Leave out the run's own files, which may lie in the folder that is read."""
    own = sinks.own()
    names = {path.name for path in own}
    found: Entries = []
    for entry in entries:
        path = Path(entry.name if isinstance(entry, InputError) else entry.id.path)
        if path.name not in names or path.resolve() not in own:
            found.append(entry)
        elif not isinstance(entry, InputError):
            raise UsageError(f"{path} is one of the scans to read; choose another name for -o")
    if not found:
        raise NothingFoundError("there is no file to read besides the output's own")
    return found


def _load(weights: str | None, device: str, batch_size: int | None, quiet: bool) -> Predictor:
    with progress("Loading the model", unit="", quiet=quiet):
        from ich_cli.core.predictor import Predictor  # torch: seconds

        return Predictor.load(weights, device=device, batch_size=batch_size)


def _begin(
    journal: Journal,
    predictor: Predictor,
    thresholds: Mapping[str, float],
    entries: Entries,
    resume: bool,
) -> Seam:
    """Start or resume the journal; its manifest's keys are the words that tell a difference."""
    bundle = json_text.dumps(predictor.bundle.config.to_dict(), sort_keys=True)
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
    }
    journal.begin(manifest, resume=resume)
    context = max(one.context for one in predictor.preprocess)
    return find_seam(journal, len(entries), together, context)


@contextmanager
def _interruptible(journal: Journal | None, total: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if journal and journal.rows_kept:
            raise KeyboardInterrupt(
                f"interrupted; {journal.rows_kept} of {total} rows are kept: "
                "the same command with --resume goes on"
            ) from None
        raise


def _run(predictions: Iterable[SlicePrediction], sinks: _Sinks, tally: Tally, quiet: bool) -> Tally:
    """Let all rows pass by, to stdout where they go there."""
    table: Table | None = None
    silent = quiet or (sinks.stream is not None and is_terminal())  # the rows are progress enough
    with progress("Predicting", tally.total, quiet=silent) as advance:
        rows = tally.watch(predictions, advance)
        if sinks.stream:
            _to_stdout(rows, sinks.stream, sinks.by)
        elif sinks.output:
            deque(rows, maxlen=0)
        else:
            table = slices_table(rows) if sinks.by is By.slice else studies_table(by_study(rows))
    if table:
        stdout().print(table)
    return tally


def _to_stdout(rows: Iterable[SlicePrediction], format: Format, by: By) -> None:
    columns = SLICE_COLUMNS if by is By.slice else STUDY_COLUMNS
    lines = map(slice_row, rows) if by is By.slice else map(study_row, by_study(rows))
    with open_table(sys.stdout.buffer, format, columns) as writer:
        for line in lines:
            writer.append(line)


def _end(tally: Tally, caveat: str, *, strict: bool, quiet: bool) -> None:
    if not tally.slices:
        raise NothingFoundError(nothing_read(tally))
    if caveat:
        warn(caveat)
    for line in summary(tally):
        note(line, quiet=quiet)
    if strict and tally.failed:
        raise IchError(f"{tally.failed} of {tally.total} failed, and --strict forbids it")
