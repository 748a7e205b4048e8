"""The steps of ``ich predict``: find, load, answer, write; in one process or in several."""

from __future__ import annotations

import glob
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ich_cli._version import __version__
from ich_cli.commands.predict.request import Request, find, tables
from ich_cli.core.errors import InputError
from ich_cli.core.predict import (
    ALONE,
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    Journal,
    Part,
    Seam,
    Tally,
    all_there,
    find_seam,
    keep,
    open_table,
    slice_row,
    study_row,
    take_over,
    write_tables,
)
from ich_cli.core.study import SlicePrediction, studies_of
from ich_cli.core.system import fingerprint, remove_stale
from ich_cli.terminal import (
    is_terminal,
    note,
    parse_thresholds,
    progress,
    slices_table,
    stdout,
    studies_table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ich_cli.commands.predict.request import Entries
    from ich_cli.core.predict import Predictor
    from ich_cli.core.series import SliceRef
    from ich_cli.core.study import StudyRule

__all__ = ["Request", "run"]


@dataclass(frozen=True)
class _Run:
    """All that is ready before the first answer."""

    request: Request
    entries: Entries
    predictor: Predictor
    thresholds: dict[str, float]

    @property
    def manifest(self) -> dict[str, Any]:
        """All that rows depend on; the keys are the words that tell a difference."""
        bundle = json.dumps(self.predictor.bundle.config.to_dict(), sort_keys=True)
        files = (str(e if isinstance(e, InputError) else tuple(e.id)) for e in self.entries)
        return {
            "version of ich": __version__,
            "weights": fingerprint([bundle]),
            "thresholds": dict(self.thresholds),
            "files": fingerprint(files),
            "device": self.predictor.device.partition(":")[0],
            "batch size": self.together,
            "engine": str(self.predictor.engine),
        }

    @property
    def together(self) -> int:
        """Slices whose probabilities may depend on each other by rounding."""
        return 1 if self.predictor.device == "cpu" else self.predictor.batch_size


def run(request: Request) -> tuple[Tally | None, str]:
    """Answer for every slice.

    Returns
    -------
    tally
        The counts; None where another process of this run writes its table.
    caveat
        What must stand beside the answers.
    """
    request.reports.prepare()
    # opening the journal tells now what could not be written later
    output, rank = request.output, request.rank
    with Journal(output, rank) if output else nullcontext() as journal:
        if journal and not rank.alone and not request.resume:
            journal.clear()  # before another process could take its old rows for new ones
        ready = _set_up(request)
        part = Part(journal, ready.entries, rank) if journal else None
        if part is None or rank.alone:
            return _answer(ready, part), ready.predictor.caveat
        _fill(ready, part)
    return _join(ready), ready.predictor.caveat


def _set_up(request: Request) -> _Run:
    quiet = request.quiet or request.rank.number > 0
    for path in tables(request):
        remove_stale(path.parent, glob.escape(path.name))
    entries = find(request)
    device = request.rank.device(request.device)
    predictor = _load(request, device, len(entries), quiet)
    defaults = dict(predictor.bundle.config.thresholds)
    return _Run(request, entries, predictor, parse_thresholds(request.thresholds, defaults))


def _answer(ready: _Run, part: Part | None, ranks: int = 1) -> Tally:
    """Answer for what is left, and write all that was asked for."""
    request, predictor = ready.request, ready.predictor
    rows = _rows(ready, part)
    kept_before = part.kept if part else 0
    tally = Tally(len(ready.entries), kept_before, ranks=ranks, engine=predictor.engine.describe())
    rule = predictor.study_rule(ready.thresholds)
    with _interruptible(part):
        kept = _consume(part.weave(rows) if part else rows, request, tally, rule)
    if request.reports:  # before the tables: a run that is stopped here goes on with --resume
        from ich_cli.core.report import results_of_rows

        results = results_of_rows(
            predictor, ready.entries, kept, limits=request.limits, thresholds=ready.thresholds
        )
        tally.written += request.reports.write(results, quiet=request.quiet)
    if part:
        written = write_tables(part, request.layout, rule if request.studies else None)
        tally.written = written + tally.written
    return tally


def _rows(ready: _Run, part: Part | None) -> Iterator[SlicePrediction]:
    """Return the rows of this process in order: those kept before, then the new ones."""
    request, seam = ready.request, Seam()
    entries: Sequence[SliceRef | InputError] = ready.entries
    if part:
        part.begin(ready.manifest, resume=request.resume)
        entries = part.entries
        context = max(one.context for one in ready.predictor.preprocess)
        seam = find_seam(part.journal, len(entries), ready.together, context)
    new = ready.predictor.stream(
        entries,
        start=seam.start,  # those before it stay known as neighbours
        workers=request.rank.workers(request.workers),
        limits=request.limits,
        thresholds=ready.thresholds,
    )
    return keep(part.journal, new, seam) if part else new


def _fill(ready: _Run, part: Part) -> None:
    """Answer for this process's share of the series, into its journal."""
    request, rank = ready.request, ready.request.rank
    rows = _rows(ready, part)
    tally = Tally(len(part.order), part.journal.rows_kept)
    quiet = request.quiet or rank.number > 0
    with _interruptible(part), progress("Predicting", tally.total, quiet=quiet) as advance:
        deque(tally.watch(rows, advance), maxlen=0)
    speed = (tally.total - tally.kept) / max(tally.seconds, 1e-3)
    note(
        f"process {rank.number} of {rank.of}: its {tally.total:,} of {len(ready.entries):,} rows "
        f"are done, {speed:.1f} slices/s; whoever ends last writes {request.output}",
        quiet=quiet,
    )


def _join(ready: _Run) -> Tally | None:
    """Write the table if the processes of this run are through, and nobody else writes it."""
    request = ready.request
    if not request.output or not all_there(request.output, ready.manifest, len(ready.entries)):
        return None
    if not (journal := take_over(request.output)):
        return None
    alone = replace(ready, request=replace(request, rank=ALONE, resume=True))
    with journal:
        return _answer(alone, Part(journal, ready.entries, ALONE), request.rank.of)


def _load(request: Request, device: str, slices: int, quiet: bool) -> Predictor:
    with progress("Loading the model", unit="", quiet=quiet):
        from ich_cli.core.predict import Predictor

        return Predictor.load(
            request.weights, device=device, batch_size=request.batch_size,
            engine=request.engine, slices=slices,
        )  # fmt: skip


@contextmanager
def _interruptible(part: Part | None) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        if part and part.journal.rows_kept:
            kept, total = part.journal.rows_kept, len(part.order)
            raise type(stop)(
                f"{str(stop) or 'interrupted'}; {kept} of {total} rows are kept: "
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
            table = studies_table(studies_of(passing, rule)) if studies else slices_table(passing)
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
    lines = map(study_row, studies_of(rows, rule)) if rule else map(slice_row, rows)
    with open_table(sys.stdout.buffer, format, columns) as writer:
        for line in lines:
            writer.append(line)
