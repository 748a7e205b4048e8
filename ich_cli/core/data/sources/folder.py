"""Any folder of DICOM or NIfTI with a table of labels per slice, or without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import NO_LABELS, read_labels
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest
from ich_cli.core.data.sources.scanned import (
    ScannedSeries,
    find_table,
    has_table,
    label_by_table,
    scan_request,
    with_refused,
)
from ich_cli.core.errors import UsageError

TABLES: Final = ("labels.csv",)


def _recognises(folder: Path) -> bool:
    return has_table(folder, TABLES)


def _open(request: SourceRequest) -> Opened:
    table = read_labels(request.labels or find_table(request.paths, TABLES))
    found = scan_request(request, request.paths)
    return Opened(label_by_table(found, table, request.limits))


def _never(folder: Path) -> bool:
    return False  # the user must say that there are no labels


def _open_unlabelled(request: SourceRequest) -> Opened:
    if request.labels is not None:
        raise UsageError("--source unlabelled takes no --labels; use --source folder")
    found = scan_request(request, request.paths)
    series = [ScannedSeries(one, (NO_LABELS,) * len(one), request.limits) for one in found.series]
    return Opened(with_refused(series, found.all_refused()))


SOURCE: Final = Source("folder", "own DICOM", _recognises, _open)
UNLABELLED: Final = Source("unlabelled", "own DICOM without labels", _never, _open_unlabelled)
