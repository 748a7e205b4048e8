"""The course set of the predecessor: DICOM in two folders and a table of labels.

train1/*.dcm               labelled
train2/*.dcm, test/*.dcm   unlabelled
Public_train_label.csv     file name, subtype, 0 or 1: five rows per file; no `any`
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import NO_LABELS, read_labels_by_position
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest
from ich_cli.core.data.sources.scanned import (
    ScannedSeries,
    find_table,
    has_table,
    label_by_table,
    scan_request,
    with_refused,
)

TABLES: Final = ("Public_train_label.csv",)
_LABELLED, _UNLABELLED = "train1", ("train2", "test")


def _recognises(folder: Path) -> bool:
    return has_table(folder, TABLES)


def _open(request: SourceRequest) -> Opened:
    paths = request.paths
    if request.labels is None and all(path.name in _UNLABELLED for path in paths):
        found = scan_request(request, paths)
        bare = [ScannedSeries(one, (NO_LABELS,) * len(one), request.limits) for one in found.series]
        return Opened(with_refused(bare, found.all_refused()), name="the course's unlabelled data")
    table = request.labels or find_table(paths, TABLES)
    notes: tuple[str, ...] = ()
    if len(paths) == 1 and (paths[0] / _LABELLED).is_dir():
        others = [name for name in _UNLABELLED if (paths[0] / name).is_dir()]
        notes = (f"without labels, not read: {', '.join(others)}; prepare them on their own",)
        paths = (paths[0] / _LABELLED,)
    found = scan_request(request, paths)
    labels = read_labels_by_position(table)
    return Opened(label_by_table(found, labels, request.limits), notes=notes)


SOURCE: Final = Source("dlmi", "the course's data", _recognises, _open)
