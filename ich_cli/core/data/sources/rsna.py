"""RSNA 2019 as Kaggle ships it: one flat folder of DICOM and a long table.

    stage_2_train/ID_0a1b2c3d4.dcm …     often nested twice after unzipping
    stage_2_train.csv                    ID,Label: ID_0a1b2c3d4_epidural,0

Its identifiers are pseudonyms, no UIDs; a patient may have several studies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import read_labels
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.scanned import find_table, has_table, label_by_table, scan_request

STAGES: Final = ("stage_2_train", "stage_1_train")
TABLES: Final = tuple(f"{stage}.csv" for stage in STAGES)
LICENCE: Final = "RSNA Intracranial Hemorrhage Detection 2019, for non-commercial and academic use"


def _recognises(folder: Path) -> bool:
    return _root(folder) is not None or has_table(folder, TABLES)


def _open(request: SourceRequest) -> Opened:
    paths, table = request.paths, request.labels
    root = _root(paths[0]) if len(paths) == 1 else None
    if root is not None:  # the test stages have no labels
        table = table or next(root / name for name in TABLES if (root / name).is_file())
        train = root / table.stem
        paths = (train if train.is_dir() else root,)
    found = scan_request(request, paths)
    return Opened(
        label_by_table(found, read_labels(table or find_table(paths, TABLES)), request.limits)
    )


def _root(folder: Path) -> Path | None:
    """Return the folder with the table, at most two levels below."""
    if not folder.is_dir():
        return None
    return next((found for name in TABLES if (found := find_folder(folder, name))), None)


SOURCE: Final = Source("rsna", "RSNA 2019", _recognises, _open, LICENCE)
