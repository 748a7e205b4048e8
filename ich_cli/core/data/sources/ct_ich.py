"""CT-ICH (Hssayeni et al., 2020, PhysioNet). Version 1.0.0: images in two windows and a table.

    hemorrhage_diagnosis.csv
    Patients_CT/049/brain/1.jpg    window 40/120
    Patients_CT/049/bone/1.jpg     window 700/3200
    Patients_CT/049/brain/1_HGE_Seg.jpg    mask of a slice with hemorrhage
    boxes.csv                      optional: boxes around hemorrhages, drawn by people

The DICOM files were not published. HU are reconstructed with a step of 0.5 HU from -20 to 100
(brain and blood) and of 12.5 HU elsewhere, plus a few HU of JPEG noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.data.lesion_masks import (
    BOXES,
    NO_SUBTYPE,
    Box,
    blood_in_boxes,
    name_subtype,
    read_boxes,
)
from ich_cli.core.data.sources import ct_ich_nifti as nifti
from ich_cli.core.data.sources.base import (
    LabelledSeries,
    LabelledSlice,
    Opened,
    Source,
    SourceRequest,
    find_folder,
)
from ich_cli.core.data.sources.ct_ich_table import read_diagnoses
from ich_cli.core.dicom import AIR_HU, CTSlice, SliceId
from ich_cli.core.errors import (
    BrokenFileError,
    DataError,
    InputError,
    NotApplicableError,
    UsageError,
)
from ich_cli.core.pictures import PictureWindow, linear_hu
from ich_cli.core.system import as_named

TABLE: Final = "hemorrhage_diagnosis.csv"
LICENCE: Final = (
    "CT-ICH, Hssayeni et al., Data 2020, 5(1), 14, doi 10.13026/w8q8-ky94; the paper states "
    "CC BY 4.0; the pictures may not be passed on"
)
_BRAIN: Final = PictureWindow(40, 120)
_BONE: Final = PictureWindow(700, 3200)
_WHITE: Final = 127  # of a mask, stored as JPEG
_NOISE: Final = 8  # gray levels by which JPEG changes saturated pixels
_DOUBT_HU: Final = 80.0  # larger differences are not noise of the bone image
_DENSE_HU: Final = 1000.0  # assumed for bone where only the brain image exists


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
        drawn = _read_jpeg(self.folder / "brain" / f"{number}_HGE_Seg.jpg")
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
    labels = read_diagnoses(table)
    patients = sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    if not patients:
        raise DataError(f"{folder}: no patient folders")
    boxes: dict[int, dict[int, tuple[Box, ...]]] = {}
    for (patient, number), found in _read_boxes(root).items():
        boxes.setdefault(patient, {})[number] = found
    numbers = [int(p.name) for p in patients]
    return [
        CtIchSeries(p, labels.get(n, {}), boxes.get(n, {}))
        for p, n in zip(patients, numbers, strict=True)
    ]


def read_images(patient: Path, number: int) -> CTSlice:
    """Reconstruct a slice from its brain and bone images.

    Raises
    ------
    BrokenFileError
        If the brain image is missing or damaged, or the two differ in size.
    """
    name = f"{patient.name}/{number}"
    brain = _read_jpeg(patient / "brain" / f"{number}.jpg")
    if brain is None:
        raise BrokenFileError(name, "the brain image is missing or not a JPEG")
    bone = _read_jpeg(patient / "bone" / f"{number}.jpg")
    if bone is not None and bone.shape != brain.shape:
        raise BrokenFileError(name, "the brain and bone images differ in size")
    ct = CTSlice(reconstruct_hu(brain, bone), SliceId(name, instance=number))
    if bone is not None:
        return ct
    note = "no bone image: HU below -20 and above 100 are not exact"
    return CTSlice(ct.hu, ct.id, status="repaired", notes=(note,))


def reconstruct_hu(brain: NDArray[np.uint8], bone: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    """Reconstruct HU from an image in window 40/120 and one in window 700/3200.

    Parameters
    ----------
    brain, bone
        uint8 ``(H, W)``. Without a bone image, black becomes air and white becomes bone.

    Returns
    -------
    numpy.ndarray
        float32 ``(H, W)``: from the brain image where it is not saturated, else from the bone
        image, clipped to the side on which the brain image saturates. Within 8 gray levels of
        saturation the bone image decides which applies.
    """
    soft = linear_hu(brain.astype(np.float32) / np.float32(255), _BRAIN)
    if bone is None:
        below, above = np.float32(AIR_HU), np.float32(_DENSE_HU)
        dark, white = brain <= _NOISE, brain >= 255 - _NOISE
        return np.select([dark, white], [below, above], soft).astype(np.float32)
    wide = linear_hu(bone.astype(np.float32) / np.float32(255), _BONE)
    low, high = _BRAIN.lowest, _BRAIN.lowest + _BRAIN.width
    # JPEG noise changes much of the air from 0 to 1 … 8: use the bone image there
    dark = (brain == 0) | ((brain <= _NOISE) & (wide < low - _DOUBT_HU))
    white = (brain == 255) | ((brain >= 255 - _NOISE) & (wide > high + _DOUBT_HU))
    outside = [np.minimum(wide, low), np.maximum(wide, high)]
    return np.select([dark, white], outside, soft).astype(np.float32)


def _read_jpeg(path: Path) -> NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return None if picture is None else np.asarray(picture, np.uint8)


def _read_boxes(root: Path) -> dict[tuple[int, int], tuple[Box, ...]]:
    return read_boxes(root / BOXES) if (root / BOXES).is_file() else {}


def _recognises(folder: Path) -> bool:
    return find_folder(folder, nifti.TABLE, nifti.IMAGES) is not None or (
        find_folder(folder, TABLE, "Patients_CT") is not None
    )


def _open(request: SourceRequest) -> Opened:
    folder = request.folder("ct-ich")
    if request.names is not as_named:
        raise UsageError("--anonymous-paths applies to DICOM; CT-ICH already has numbers")
    root = find_folder(folder, nifti.TABLE, nifti.IMAGES)
    if root is not None:
        return Opened(nifti.open_ct_ich_nifti(request, root))
    return Opened(open_ct_ich(find_folder(folder, TABLE, "Patients_CT") or folder))


SOURCE: Final = Source("ct-ich", "CT-ICH", _recognises, _open, LICENCE)
