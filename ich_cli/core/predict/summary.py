"""A long run over many slices: counted, kept as it goes, written whole at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from ich_cli.core.errors import OutputError
from ich_cli.core.predict.journal import Journal
from ich_cli.core.predict.merge import Part
from ich_cli.core.predict.tables import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    open_table,
    slice_row,
    study_row,
)
from ich_cli.core.study import SlicePrediction, StudyRule, studies_of
from ich_cli.core.system import replacing

_REASONS: Final = 100


class Refused(NamedTuple):
    """Files without an answer for the same reason."""

    path: str
    """The first of them."""
    files: int


@dataclass(slots=True)
class Tally:
    """What a run has seen. Memory grows with the studies only."""

    total: int
    """Slices and refused files that there are."""
    kept: int = 0
    """Rows of them that an earlier run left."""
    engine: str = ""
    """What runs the model, and why."""
    slices: int = 0
    """Slices with an answer."""
    repaired: int = 0
    skipped: int = 0
    failed: int = 0
    studies: set[str] = field(default_factory=set)
    """StudyInstanceUIDs with an answer."""
    positive: set[str] = field(default_factory=set)
    """Those with at least one label over its threshold in at least one slice."""
    refused: dict[tuple[str, str], Refused] = field(default_factory=dict)
    """Status and note → who has them; of very many different notes, the first ones."""
    written: list[Path] = field(default_factory=list)
    """Files written."""
    seconds: float = 0.0
    """From the first row that was not kept to the last."""
    ranks: int = 1
    """Processes whose rows were joined."""

    def add(self, one: SlicePrediction) -> None:
        """Count one slice or refused file."""
        if one.probabilities is None:
            self.skipped += one.status == "skipped"
            self.failed += one.status == "failed"
            self._refuse(one)
            return
        self.slices += 1
        self.repaired += one.status == "repaired"
        self.studies.add(one.id.study_uid)
        if one.positive:
            self.positive.add(one.id.study_uid)

    def _refuse(self, one: SlicePrediction) -> None:
        key = one.status, one.note
        if key in self.refused or len(self.refused) < _REASONS:
            first, count = self.refused.get(key, (one.id.path, 0))
            self.refused[key] = Refused(first, count + 1)

    def watch(
        self, predictions: Iterable[SlicePrediction], advance: Callable[[int], None]
    ) -> Iterator[SlicePrediction]:
        """Pass predictions through, count them and take the time."""
        start = time.perf_counter()
        for rows, one in enumerate(predictions, 1):
            self.add(one)
            advance(1)
            yield one
            if rows == self.kept:
                start = time.perf_counter()
        self.seconds = time.perf_counter() - start


class Seam(NamedTuple):
    """Where a run goes on. Each row comes out as in an unbroken run, whatever stood around it."""

    kept: int = 0
    """Rows to keep; the next is the first to be written."""
    start: int = 0
    """Entry to start from: those before `kept` are answered again and dropped."""


def find_seam(journal: Journal, total: int, batch_size: int, context: int) -> Seam:
    """Look for the seam, and cut the journal there.

    Parameters
    ----------
    journal
        Begun, with the rows of the earlier run.
    total
        Entries of the whole run.
    batch_size
        Slices whose probabilities may depend on each other by rounding; 1 on a CPU. Rows of a
        batch that was not finished are given up, so that batches lie as in an unbroken run.
    context
        Neighbours that the model sees on each side: so many slices are read again.
    """
    if journal.rows_kept == total:
        return Seam(total, total)
    ends, answered = deque([0], maxlen=1 + -(-context // batch_size)), 0
    for row, one in enumerate(journal.rows(), 1):
        answered += one.probabilities is not None
        if one.probabilities is not None and answered % batch_size == 0:
            ends.append(row)
    journal.keep_first(ends[-1])
    return Seam(ends[-1], ends[0])


def keep(
    journal: Journal, predictions: Iterable[SlicePrediction], seam: Seam
) -> Iterator[SlicePrediction]:
    """Pass on the rows kept earlier, then the new predictions, each kept before it is passed."""
    yield from journal.rows()
    for one in islice(predictions, seam.kept - seam.start, None):
        journal.append(one)
        yield one


def studies_path(output: Path, format: Format) -> Path:
    """Return where the table of studies lies: ``out.csv`` → ``out.studies.csv``."""
    ending = ".csv" if format is Format.rsna else output.suffix
    return output.with_name(f"{output.stem}.studies{ending}")


def write_tables(part: Part, format: Format, rule: StudyRule | None = None) -> list[Path]:
    """Write the rows of a run as its output, and end its journals.

    Parameters
    ----------
    part
        Of the only process, or of the one that joins; all rows are there.
    format
        Of the output.
    rule
        How slices become studies, for a table of studies beside; None: there is none.

    Returns
    -------
    list of Path
        The files written, the output first.

    Raises
    ------
    OutputError
        If they cannot be written; the journals stay.
    """
    output = part.journal.output
    beside = [studies_path(output, format)] if rule else []
    try:
        for path in beside:
            _write_studies(path, Format.csv if format is Format.rsna else format, part, rule)
        with replacing(output) as stream, open_table(stream, format, SLICE_COLUMNS) as table:
            for one in part.rows():
                table.append(slice_row(one))
    except OutputError as error:
        raise OutputError(f"{error}; the rows are kept, --resume writes them") from error
    part.discard()
    return [output, *beside]


def _write_studies(path: Path, format: Format, part: Part, rule: StudyRule | None) -> None:
    with replacing(path) as stream, open_table(stream, format, STUDY_COLUMNS) as table:
        for study in studies_of(part.rows(), rule):
            table.append(study_row(study))
