"""CT-ICH 1.3.1 (Hssayeni et al., 2020, PhysioNet): NIfTI volumes, masks, and a table per slice.

ct_scans/049.nii, masks/049.nii      masks: 0 or 255
hemorrhage_diagnosis_raw_ct.csv      PatientNumber, SliceNumber, five subtypes, …
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import LabelledSeries, SourceRequest
from ich_cli.core.data.sources.ct_ich_table import read_diagnoses
from ich_cli.core.data.sources.volumes import Volume, images_in, open_volumes
from ich_cli.core.errors import DataError

if TYPE_CHECKING:
    from ich_cli.core.series import SliceRef

TABLE: Final = "hemorrhage_diagnosis_raw_ct.csv"
IMAGES, MASKS = "ct_scans", "masks"
_BACKGROUND: Final = 127.0


def open_ct_ich_nifti(request: SourceRequest, root: Path) -> list[LabelledSeries]:
    """Return the patients of CT-ICH 1.3.1 in the order of their numbers.

    Raises
    ------
    DataError
        If a file is missing or the table does not parse.
    """
    diagnoses = read_diagnoses(root / TABLE)
    masks = images_in(root / MASKS) if (root / MASKS).is_dir() else {}
    volumes = []
    for name, image in images_in(root / IMAGES).items():
        if not name.isdecimal():
            raise DataError(f"{image}: CT-ICH names its volumes by patient number")
        mask = MaskFiles((masks[name],), above=_BACKGROUND) if name in masks else None
        rows = _Diagnoses(diagnoses.get(int(name), {}))
        volumes.append(Volume(image, mask, rows, patient=name, study=name))
    return open_volumes(request, volumes)


class _Diagnoses:
    """Labels of a patient by slice number, which counts from 1 along the slice axis."""

    def __init__(self, rows: Mapping[int, LabelRow]) -> None:
        self._rows = rows

    def __call__(self, ref: SliceRef) -> LabelRow | None:
        return self._rows.get(ref.id.frame)
