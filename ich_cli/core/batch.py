"""A long run over many slices: counted, kept as it goes, written whole at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ich_cli.core.atomic import replacing
from ich_cli.core.errors import OutputError
from ich_cli.core.journal import Journal
from ich_cli.core.prediction import SlicePrediction, by_study
from ich_cli.core.writers import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    open_table,
    slice_row,
    study_row,
)

_SHOWN: Final = 3


@dataclass(slots=True)
class Tally:
    """What a run has seen. Memory grows with the studies only."""

    total: int
    """Slices and refused files that there are."""
    kept: int = 0
    """Rows of them that an earlier run left."""
    slices: int = 0
    """Slices with an answer."""
    repaired: int = 0
    skipped: int = 0
    failed: int = 0
    studies: set[str] = field(default_factory=set)
    """StudyInstanceUIDs with an answer."""
    positive: set[str] = field(default_factory=set)
    """Those with at least one label over its threshold in at least one slice."""
    refused: list[SlicePrediction] = field(default_factory=list)
    """The first few without an answer."""
    written: list[Path] = field(default_factory=list)
    """Files written."""
    seconds: float = 0.0
    """From the first row that was not kept to the last."""

    def add(self, one: SlicePrediction) -> None:
        """Count one slice or refused file."""
        if one.probabilities is None:
            self.skipped += one.status == "skipped"
            self.failed += one.status == "failed"
            if len(self.refused) < _SHOWN:
                self.refused.append(one)
            return
        self.slices += 1
        self.repaired += one.status == "repaired"
        self.studies.add(one.id.study_uid)
        if one.positive:
            self.positive.add(one.id.study_uid)

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


def keep(journal: Journal, predictions: Iterable[SlicePrediction]) -> Iterator[SlicePrediction]:
    """Pass on the rows kept earlier, then the new predictions, each kept before it is passed."""
    yield from journal.rows()
    for one in predictions:
        journal.append(one)
        yield one


def studies_path(output: Path, format: Format) -> Path:
    """Return where the table of studies lies: ``out.csv`` → ``out.studies.csv``."""
    ending = ".csv" if format is Format.rsna else output.suffix
    return output.with_name(f"{output.stem}.studies{ending}")


def write_tables(journal: Journal, format: Format, *, studies: bool) -> list[Path]:
    """Write the journal's rows as the output, and the table of studies beside; end the journal.

    Returns
    -------
    list of Path
        The files written, the output first.

    Raises
    ------
    OutputError
        If they cannot be written; the journal stays.
    """
    output = journal.output
    beside = [studies_path(output, format)] if studies else []
    try:
        for path in beside:
            _write_studies(path, Format.csv if format is Format.rsna else format, journal)
        with replacing(output) as stream, open_table(stream, format, SLICE_COLUMNS) as table:
            for one in journal.rows():
                table.append(slice_row(one))
    except OutputError as error:
        raise OutputError(f"{error}; the rows are kept, --resume writes them") from error
    journal.discard()
    return [output, *beside]


def _write_studies(path: Path, format: Format, journal: Journal) -> None:
    with replacing(path) as stream, open_table(stream, format, STUDY_COLUMNS) as table:
        for study in by_study(journal.rows()):
            table.append(study_row(study))
