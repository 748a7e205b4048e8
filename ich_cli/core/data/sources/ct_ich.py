"""CT-ICH (Hssayeni et al., 2020, PhysioNet).

1.3.1   ct_scans/049.nii, masks/049.nii        masks: 0 or 255
        hemorrhage_diagnosis_raw_ct.csv        PatientNumber, SliceNumber, five subtypes, …
1.0.0   Patients_CT/049/brain/1.jpg            window 40/120
        Patients_CT/049/bone/1.jpg             window 700/3200
        Patients_CT/049/brain/1_HGE_Seg.jpg    mask of a slice with hemorrhage
        hemorrhage_diagnosis.csv
        boxes.csv                              optional: boxes around hemorrhages, drawn by people
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow, to_label, with_any
from ich_cli.core.data.lesion_masks import (
    BOXES,
    NO_SUBTYPE,
    Box,
    blood_in_boxes,
    name_subtype,
    read_boxes,
)
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import (
    LabelledSeries,
    LabelledSlice,
    Opened,
    Source,
    SourceRequest,
    find_folder,
)
from ich_cli.core.data.sources.ct_ich_pictures import read_images, read_jpeg
from ich_cli.core.data.sources.volumes import Volume, images_in, open_volumes
from ich_cli.core.data.tables import read_table
from ich_cli.core.dicom import CTSlice
from ich_cli.core.errors import DataError, InputError, NotApplicableError, UsageError
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.system import as_named

TABLE: Final = "hemorrhage_diagnosis.csv"
_NIFTI_TABLE: Final = "hemorrhage_diagnosis_raw_ct.csv"
_IMAGES, _MASKS = "ct_scans", "masks"
LICENCE: Final = (
    "CT-ICH, Hssayeni et al., Data 2020, 5(1), 14, doi 10.13026/w8q8-ky94; the paper states "
    "CC BY 4.0; the pictures may not be passed on"
)
_WHITE: Final = 127  # of a mask of 0 and 255; some are JPEG


@dataclass(frozen=True)
class CtIchSeries:
    """Patient of CT-ICH with one scan."""

    folder: Path
    labels: dict[int, LabelRow]
    """Slice number → labels."""
    boxes: dict[int, tuple[Box, ...]] = field(default_factory=dict)
    """Slice number → boxes around its hemorrhages."""

    @property
    def name(self) -> str:
        """Patient's number in the data set."""
        return self.folder.name

    def patient(self) -> str:
        """Return the patient's number in the data set."""
        return self.name

    @property
    def max_slices(self) -> int:
        """Number of slices in the table."""
        return len(self.labels)

    def read(self) -> Iterator[LabelledSlice]:
        """Yield the slices from the skull base to the vertex."""
        on_disk = {int(p.stem) for p in (self.folder / "brain").glob("*.jpg") if p.stem.isdigit()}
        for number in sorted(on_disk | set(self.labels)):
            yield self._read_one(number)

    def _read_one(self, number: int) -> LabelledSlice:
        name = f"{self.name}/{number}"
        ids = (name, self.name, self.name, self.name)
        try:
            ct = read_images(self.folder, number)
        except InputError as error:
            return LabelledSlice(*ids, error=error)
        labels = self.labels.get(number)
        missing = NotApplicableError(name, f"{TABLE} has no row for this slice")
        mask = self._mask(number, ct)
        return LabelledSlice(*ids, ct, labels, missing if labels is None else None, mask)

    def _mask(self, number: int, ct: CTSlice) -> NDArray[np.uint8] | None:
        """Return the mask of the owners, else the blood in boxes, else None."""
        drawn = read_jpeg(self.folder / "brain" / f"{number}_HGE_Seg.jpg")
        if drawn is not None and drawn.shape == ct.shape and (drawn > _WHITE).any():
            bits = np.where(drawn > _WHITE, NO_SUBTYPE, 0).astype(np.uint8)
            return name_subtype(bits, self.labels.get(number))
        boxes = self.boxes.get(number)
        return blood_in_boxes(ct.hu, boxes) if boxes else None


def open_ct_ich(root: Path) -> list[LabelledSeries]:
    """Return the patients of CT-ICH in the order of their numbers.

    Parameters
    ----------
    root
        Folder that holds ``Patients_CT`` and ``hemorrhage_diagnosis.csv``.

    Raises
    ------
    DataError
        If a file is missing or the table does not parse.
    """
    table, folder = root / TABLE, root / "Patients_CT"
    if not table.is_file() or not folder.is_dir():
        raise DataError(f"{root}: not CT-ICH, which has {TABLE} and Patients_CT")
    labels = _read_diagnoses(table)
    patients = sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    if not patients:
        raise DataError(f"{folder}: no patient folders")
    boxes: dict[int, dict[int, tuple[Box, ...]]] = {}
    drawn = read_boxes(root / BOXES) if (root / BOXES).is_file() else {}
    for (patient, number), found in drawn.items():
        boxes.setdefault(patient, {})[number] = found
    numbers = [int(p.name) for p in patients]
    return [
        CtIchSeries(p, labels.get(n, {}), boxes.get(n, {}))
        for p, n in zip(patients, numbers, strict=True)
    ]


def _read_diagnoses(path: Path) -> dict[int, dict[int, LabelRow]]:
    """Read patient number → slice number → labels."""
    out: dict[int, dict[int, LabelRow]] = {}
    columns = ["patientnumber", "slicenumber", *SUBTYPES]
    for line, patient, number, *cells in read_table(path, columns)[columns].itertuples():
        where = f"{path}, line {line}"
        if not (patient.strip().isdecimal() and number.strip().isdecimal()):
            raise DataError(f"{where}: PatientNumber and SliceNumber must be whole numbers")
        labels = {name: to_label(cell, where) for name, cell in zip(SUBTYPES, cells, strict=True)}
        out.setdefault(int(patient), {})[int(number)] = with_any(labels, where)
    return out


def _open_nifti(request: SourceRequest, root: Path) -> list[LabelledSeries]:
    """Return the patients of CT-ICH 1.3.1 in the order of their numbers."""
    diagnoses = _read_diagnoses(root / _NIFTI_TABLE)
    masks = images_in(root / _MASKS) if (root / _MASKS).is_dir() else {}
    volumes = []
    for name, image in images_in(root / _IMAGES).items():
        if not name.isdecimal():
            raise DataError(f"{image}: CT-ICH names its volumes by patient number")
        mask = MaskFiles((masks[name],), above=_WHITE) if name in masks else None
        rows = diagnoses.get(int(name), {}).get
        volumes.append(Volume(image, mask, rows, patient=name, study=name))
    return open_volumes(request, volumes)


def _recognises(folder: Path) -> bool:
    return find_folder(folder, _NIFTI_TABLE, _IMAGES) is not None or (
        find_folder(folder, TABLE, "Patients_CT") is not None
    )


def _open(request: SourceRequest) -> Opened:
    folder = request.folder("ct-ich")
    if request.names is not as_named:
        raise UsageError("--anonymous-paths applies to DICOM; CT-ICH already has numbers")
    root = find_folder(folder, _NIFTI_TABLE, _IMAGES)
    if root is not None:
        return Opened(_open_nifti(request, root))
    return Opened(open_ct_ich(find_folder(folder, TABLE, "Patients_CT") or folder))


SOURCE: Final = Source("ct-ich", "CT-ICH", _recognises, _open, LICENCE)
