"""Counts of a run, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ich_cli.core.predict.tables import (
    SLICE_COLUMNS,
    STUDY_COLUMNS,
    Format,
    open_table,
    slice_row,
    study_row,
)
from ich_cli.core.series import Refused
from ich_cli.core.study import SeriesPrediction, SlicePrediction, StudyRule, by_study
from ich_cli.core.system import replacing

_REASONS: Final = 100


class RefusedFiles(NamedTuple):
    """Files that were refused for the same reason."""

    path: str
    """The first such file."""
    files: int
    """Number of files."""


@dataclass(slots=True)
class Tally:
    """Counts of a run. Its memory grows with the number of studies only."""

    total: int
    """Number of slices and refused files."""
    kept: int = 0
    """Number of rows from an earlier run."""
    engine: str = ""
    """The engine, and the reason for it."""
    slices: int = 0
    """Slices with probabilities."""
    repaired: int = 0
    skipped: int = 0
    failed: int = 0
    studies: set[tuple[str, str]] = field(default_factory=set)
    """Patients and StudyInstanceUIDs of slices with probabilities."""
    positive: set[tuple[str, str]] = field(default_factory=set)
    """Studies with at least one label over its threshold in at least one slice."""
    refused: dict[tuple[str, str], RefusedFiles] = field(default_factory=dict)
    """Status and note → files refused for it; at most the first 100 notes."""
    written: list[Path] = field(default_factory=list)
    """Files and folders written."""
    seconds: float = 0.0
    """Duration of the prediction."""

    def add(self, row: SlicePrediction, patient: str = "") -> None:
        """Count one slice of a patient, or one refused file."""
        if row.probabilities is None:
            self.skipped += row.status == "skipped"
            self.failed += row.status == "failed"
            key = row.status, row.note
            if key in self.refused or len(self.refused) < _REASONS:
                first, count = self.refused.get(key, (row.id.path, 0))
                self.refused[key] = RefusedFiles(first, count + 1)
            return
        self.slices += 1
        self.repaired += row.status == "repaired"
        study = patient, row.id.study_uid
        self.studies.add(study)
        if row.positive:
            self.positive.add(study)


def studies_path(output: Path, format: Format) -> Path:
    """Return the path of the table of studies: ``out.csv`` → ``out.studies.csv``."""
    ending = ".csv" if format is Format.rsna else output.suffix
    return output.with_name(f"{output.stem}.studies{ending}")


def write_tables(
    output: Path,
    format: Format,
    predictions: Callable[[], Iterable[SeriesPrediction]],
    refused: Sequence[Refused],
    rule: StudyRule | None = None,
    *,
    all_series: bool = False,
) -> list[Path]:
    """Write the table of slices, and with a rule the table of studies beside it.

    Parameters
    ----------
    output
        File to write.
    format
        Its layout.
    predictions
        Returns the predictions for the series, in order; called once per table.
    refused
        Files that belong to no series; their rows are the last.
    rule
        Combines slices into studies; None writes no table of studies.
    all_series
        As for `by_study`.

    Returns
    -------
    list of Path
        The files written, the output first.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    beside = [studies_path(output, format)] if rule else []
    for path in beside:
        layout = Format.csv if format is Format.rsna else format
        with replacing(path) as stream, open_table(stream, layout, STUDY_COLUMNS) as table:
            for study in by_study(predictions(), rule, refused, all_series=all_series):
                table.append(study_row(study))
    with replacing(output) as stream, open_table(stream, format, SLICE_COLUMNS) as table:
        for one in predictions():
            for row in one.slices:
                table.append(slice_row(row))
        for file in refused:
            table.append(slice_row(SlicePrediction.from_error(*file)))
    return [output, *beside]
