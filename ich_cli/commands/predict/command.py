"""Options of ``ich predict``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ich_cli.core.errors import IchError, NothingFoundError, UsageError
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Format, format_of
from ich_cli.terminal import (
    AnonymousPaths,
    BatchSize,
    Device,
    Engine,
    Json,
    Limit,
    NiftiFolder,
    Output,
    Paths,
    PictureWindowOption,
    Quiet,
    Threshold,
    Weights,
    Workers,
    is_terminal,
    note,
    nothing_read,
    parse_limits,
    parse_names,
    parse_thresholds,
    parse_window,
    summary,
    warn,
)

if TYPE_CHECKING:
    from ich_cli.core.predict import Tally


class By(StrEnum):
    """What a row of the table stands for."""

    slice = "slice"
    study = "study"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", "-f", show_default=False,
        help="Format of the table; by default given by the suffix of -o.",
    ),
]  # fmt: skip
ByOption = Annotated[
    By, typer.Option("--by", help="study: write a table of studies as well, most urgent first.")
]
AllSeries = Annotated[
    bool,
    typer.Option(
        "--all-series",
        help="Use all series of a study for its prediction, not only the one that fits best.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue an interrupted run: skip the series it has already predicted."
    ),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="DIR", show_default=False,
        help="Write an HTML page for each study into this folder, and index.html, a worklist; they "
        "need no network.",
    ),
]  # fmt: skip
DicomFolder = Annotated[
    Path | None,
    typer.Option(
        "--dicom", metavar="DIR", show_default=False,
        help="Write a DICOM Structured Report and a Secondary Capture series of the maps for "
        "each study.",
    ),
]  # fmt: skip
KeepPatient = Annotated[
    bool,
    typer.Option(
        "--keep-patient",
        help="Copy the patient's name, id, birth date and sex, and the study's date, id and "
        "accession number into the files of --dicom, so that an archive assigns them to the "
        "patient. Without it they contain UIDs only.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file failed.")]


def predict(
    paths: Paths,
    output: Output = None,
    format: FormatOption = None,
    by: ByOption = By.slice,
    all_series: AllSeries = False,
    threshold: Threshold = None,
    json: Json = False,
    report: ReportFolder = None,
    dicom: DicomFolder = None,
    keep_patient: KeepPatient = False,
    nifti: NiftiFolder = None,
    window: PictureWindowOption = None,
    anonymous_paths: AnonymousPaths = None,
    resume: Resume = False,
    strict: Strict = False,
    weights: Weights = None,
    device: Device = "auto",
    engine: Engine = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Predict the probability of a hemorrhage and of its subtypes for each slice.

    Takes DICOM and NIfTI files, folders and zips; PNG and JPEG with --window. Every file has a
    row; if it could not be used, its status and note say why. Without -o: a table of the most
    urgent slices on a terminal, CSV where stdout is redirected.

    Example: ich predict scans/ -o out.csv --by study
    """
    parse_thresholds(threshold, dict.fromkeys(LABELS, 0.5))  # fail before files are read
    if resume and not output:
        raise UsageError("--resume continues the table of an earlier run; name it with -o")
    if keep_patient and not dicom:
        raise UsageError("--keep-patient applies to DICOM output only; add --dicom DIR")
    layout = (format or format_of(output)) if output else Format.csv
    stream = _stream(output, format, by, json)
    from ich_cli.commands.predict.reports import Reports
    from ich_cli.commands.predict.request import Request
    from ich_cli.commands.predict.run import run

    request = Request(
        paths=paths, limits=parse_limits(limit), thresholds=threshold,
        weights=weights, device=device, engine=engine, batch_size=batch_size, workers=workers,
        output=output, layout=layout, stream=stream, studies=by is By.study,
        all_series=all_series,
        resume=resume, quiet=quiet,
        reports=Reports(report, dicom, nifti, keep_patient=keep_patient),
        names=parse_names(anonymous_paths), keyfile=anonymous_paths,
        window=parse_window(window),
    )  # fmt: skip
    tally, caveat = run(request)
    if tally:
        _end(tally, caveat, strict=strict, quiet=quiet)


def _stream(output: Path | None, format: Format | None, by: By, json: bool) -> Format | None:
    """Return the format of stdout; None prints no rows, or a table for people without `output`."""
    if json and format and not output:
        raise UsageError("--json and --format both set the format of stdout; drop one, or add -o")
    if output or json:
        return Format.jsonl if json else None
    stream = format or (None if is_terminal() else Format.csv)
    if stream is Format.parquet:
        raise UsageError("parquet needs a file; name it with -o")
    if stream is Format.rsna and by is By.study:
        raise UsageError("an RSNA submission has slices, not studies; leave out --by study")
    return stream


def _end(tally: Tally, caveat: str, *, strict: bool, quiet: bool) -> None:
    if not tally.slices:
        raise NothingFoundError(nothing_read(tally))
    if caveat:
        warn(caveat)
    for line in summary(tally):
        note(line, quiet=quiet)
    if strict and tally.failed:
        raise IchError(f"{tally.failed} of {tally.total} failed (--strict)")
