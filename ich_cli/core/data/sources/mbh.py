"""MBH-Seg 2025: volumes of RSNA 2019 with voxel masks of several raters, others with case labels.

    MBH_Train_2025_voxel-label/<patient>_<study>/image.nii.gz, label_annot_1.nii.gz …
    MBH_Train_2025_case-label/<patient>_<study>.nii.gz, case-wise_annotation.csv

The voxel part has labels per slice. The case part has labels per study: evaluation only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import LabelRow, listed, read_labels
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.volumes import (
    Volume,
    images_in,
    open_volumes,
    public_patient,
    public_study,
)
from ich_cli.core.errors import DataError

VOXEL, TABLE, IMAGE = "MBH_Train_2025_voxel-label", "case-wise_annotation.csv", "image.nii.gz"
_RATERS: Final = "label_annot_*.nii*"
LICENCE: Final = "MBH-Seg challenge 2025; images of RSNA 2019, for non-commercial and academic use"


def _recognises(folder: Path) -> bool:
    return _voxel_part(folder) is not None or find_folder(folder, TABLE) is not None


def _open(request: SourceRequest) -> Opened:
    folder = request.folder("mbh")
    voxel, case = _voxel_part(folder), find_folder(folder, TABLE)
    if voxel is None and case is None:
        raise DataError(f"{folder}: not MBH-Seg, which has {VOXEL} or {TABLE}")
    if voxel is None:
        assert case is not None
        return Opened(open_volumes(request, _cases(case)), label_level="study")
    notes = (f"{case.name} has labels per study, not read: prepare it on its own",) if case else ()
    return Opened(open_volumes(request, _annotated(voxel)), notes=notes)


def _voxel_part(folder: Path) -> Path | None:
    """Return the folder whose folders hold an image and masks."""
    for place in (folder, folder / VOXEL):
        if place.is_dir() and next(place.glob(f"*/{_RATERS}"), None):
            return place
    return None


def _annotated(folder: Path) -> list[Volume]:
    cases = sorted({path.parent for path in folder.glob(f"*/{_RATERS}")})
    missing = [case.name for case in cases if not (case / IMAGE).is_file()]
    if missing:
        raise DataError(f"{folder}: no {IMAGE} in {listed(missing)}")
    return [
        Volume(
            case / IMAGE,
            MaskFiles(tuple(sorted(case.glob(_RATERS))), classes=True),
            patient=public_patient(case.name) or case.name,
            study=public_study(case.name),
        )
        for case in cases
    ]


def _cases(folder: Path) -> list[Volume]:
    rows = read_labels(folder / TABLE, key="patientid_studyid")
    images = images_in(folder)
    missing = sorted(images.keys() - rows.keys())
    if missing:
        raise DataError(f"{folder / TABLE}: no row for {len(missing)} volumes ({listed(missing)})")
    return [_case(image, rows[name]) for name, image in images.items()]


def _case(image: Path, labels: LabelRow) -> Volume:
    return Volume(image, labels=lambda ref: labels)


SOURCE: Final = Source("mbh", "MBH-Seg 2025", _recognises, _open, LICENCE)
