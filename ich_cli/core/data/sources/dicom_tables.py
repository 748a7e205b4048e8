"""DICOM with a table of labels per slice: RSNA 2019, the course set, own; and own without labels.

rsna         stage_2_train/ID_0a1b2c3d4.dcm …     often nested twice after unzipping
             stage_2_train.csv                    ID,Label: ID_0a1b2c3d4_epidural,0
dlmi         train1/*.dcm                         labelled
             train2/*.dcm, test/*.dcm             unlabelled
             Public_train_label.csv               file name, subtype, 0 or 1: five rows per file
folder       any DICOM or NIfTI with labels.csv, or with ``--labels``
unlabelled   any DICOM or NIfTI; never recognised, since the user must say that labels are missing

The identifiers of RSNA 2019 are pseudonyms, no UIDs; a patient may have several studies.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import NO_LABELS, read_labels, read_labels_by_position
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.scanned import (
    ScannedSeries,
    find_table,
    has_table,
    label_by_table,
    scan_request,
    with_refused,
)
from ich_cli.core.errors import UsageError

_RSNA: Final = ("stage_2_train.csv", "stage_1_train.csv")
_DLMI: Final = ("Public_train_label.csv",)
_DLMI_LABELLED, _DLMI_UNLABELLED = "train1", ("train2", "test")
_OWN: Final = ("labels.csv",)


def _without_labels(request: SourceRequest, name: str = "") -> Opened:
    found = scan_request(request, request.paths)
    series = [ScannedSeries(one, (NO_LABELS,) * len(one), request.limits) for one in found.series]
    return Opened(with_refused(series, found.all_refused()), name=name)


def _is_rsna(folder: Path) -> bool:
    return _rsna_root(folder) is not None or has_table(folder, _RSNA)


def _rsna_root(folder: Path) -> Path | None:
    """Return the folder with the table, at most two levels below."""
    if not folder.is_dir():
        return None
    return next((found for name in _RSNA if (found := find_folder(folder, name))), None)


def _open_rsna(request: SourceRequest) -> Opened:
    paths, table = request.paths, request.labels
    root = _rsna_root(paths[0]) if len(paths) == 1 else None
    if root is not None:  # the test stages have no labels
        table = table or next(root / name for name in _RSNA if (root / name).is_file())
        train = root / table.stem
        paths = (train if train.is_dir() else root,)
    found = scan_request(request, paths)
    labels = read_labels(table or find_table(paths, _RSNA))
    return Opened(label_by_table(found, labels, request.limits))


def _open_dlmi(request: SourceRequest) -> Opened:
    paths = request.paths
    if request.labels is None and all(path.name in _DLMI_UNLABELLED for path in paths):
        return _without_labels(request, "the course's unlabelled data")
    table = request.labels or find_table(paths, _DLMI)
    notes: tuple[str, ...] = ()
    if len(paths) == 1 and (paths[0] / _DLMI_LABELLED).is_dir():
        others = [name for name in _DLMI_UNLABELLED if (paths[0] / name).is_dir()]
        notes = (f"without labels, not read: {', '.join(others)}; prepare them on their own",)
        paths = (paths[0] / _DLMI_LABELLED,)
    found = scan_request(request, paths)
    labels = read_labels_by_position(table)
    return Opened(label_by_table(found, labels, request.limits), notes=notes)


def _open_folder(request: SourceRequest) -> Opened:
    labels = read_labels(request.labels or find_table(request.paths, _OWN))
    found = scan_request(request, request.paths)
    return Opened(label_by_table(found, labels, request.limits))


def _open_unlabelled(request: SourceRequest) -> Opened:
    if request.labels is not None:
        raise UsageError("--source unlabelled takes no --labels; use --source folder")
    return _without_labels(request)


RSNA: Final = Source(
    "rsna", "RSNA 2019", _is_rsna, _open_rsna,
    "RSNA Intracranial Hemorrhage Detection 2019, for non-commercial and academic use",
)  # fmt: skip
DLMI: Final = Source("dlmi", "the course's data", partial(has_table, names=_DLMI), _open_dlmi)
FOLDER: Final = Source("folder", "own DICOM", partial(has_table, names=_OWN), _open_folder)
UNLABELLED: Final = Source(
    "unlabelled", "own DICOM without labels", lambda folder: False, _open_unlabelled
)
