"""Seg-CQ500: 51 scans of CQ500 with binary masks (Zenodo 8063221).

Seg-CQ500/data/volumes/info.csv                           column name
Seg-CQ500/data/volumes/<name>/CT.nii, ICH_mask.nii.gz     0 or 1: subtypes are unknown
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import listed
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.volumes import Volume, open_volumes, public_patient
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError

TABLE, IMAGE, MASK = "info.csv", "CT.nii", "ICH_mask.nii.gz"
LICENCE: Final = "Seg-CQ500 (Zenodo 8063221); images of CQ500, CC BY-NC-SA 4.0"


def _recognises(folder: Path) -> bool:
    root = find_folder(folder, TABLE, depth=3)
    return root is not None and next(root.glob(f"*/{MASK}"), None) is not None


def _open(request: SourceRequest) -> Opened:
    root = find_folder(request.folder("seg-cq500"), TABLE, depth=3)
    if root is None:
        raise DataError(f"{request.paths[0]}: not Seg-CQ500, which has {TABLE}")
    names = [name.strip() for name in read_table(root / TABLE, ["name"])["name"]]
    missing = [
        name
        for name in names
        if not ((root / name / IMAGE).is_file() and (root / name / MASK).is_file())
    ]
    if missing:
        raise DataError(f"{root}: {IMAGE} or {MASK} is missing in {listed(missing)}")
    volumes = [
        Volume(
            root / name / IMAGE,
            MaskFiles((root / name / MASK,)),
            patient=public_patient(name) or name,
            study=name,
        )
        for name in names
    ]
    return Opened(open_volumes(request, volumes))


SOURCE: Final = Source("seg-cq500", "Seg-CQ500", _recognises, _open, LICENCE)
