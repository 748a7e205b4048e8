"""Slices with lesion masks, for the heat-map benchmark: phantoms, and CT-ICH with boxes.

phantoms   labels.csv, study-0001/slice-001.dcm …, study-0001/masks.npz    (`ich phantom`)
CT-ICH     Patients_CT/, hemorrhage_diagnosis.csv, boxes.csv
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from ich_cli.core.data.lesion_masks import BOXES, Box, Mask, boxes_to_mask, read_boxes
from ich_cli.core.data.sources.ct_ich_pictures import read_images
from ich_cli.core.dicom import DEFAULT_LIMITS, CTSlice, Limits
from ich_cli.core.errors import DataError, InputError
from ich_cli.core.labels import ANY, LABELS, SUBTYPES
from ich_cli.core.series import Series, SliceRef, load, scan

MASKS: Final = "masks.npz"
_TABLE: Final = "labels.csv"


@dataclass(frozen=True, eq=False)
class MaskedSlice:
    """Slice with the masks of its hemorrhages."""

    name: str
    patient: str = field(repr=False)
    """Patient, for the bootstrap only; never printed or written."""
    ct: CTSlice
    around: dict[int, list[CTSlice | None]]
    """Context → neighbours, for `Predictor.prepare`."""
    masks: dict[str, Mask]
    """`any` and each subtype that occurs → bool ``(H, W)``, none of them empty."""


class MaskedData(Protocol):
    """Data set of slices with masks."""

    @property
    def kind(self) -> str:
        """Kind of data and of masks, for people."""

    def __len__(self) -> int:
        """Return the number of slices that `read` tries to read."""

    def read(self, contexts: Collection[int], limits: Limits) -> Iterator[MaskedSlice]:
        """Yield the readable slices with their neighbours for each of the models' contexts."""


def open_masked(root: Path, only: Collection[str] | None = None) -> MaskedData:
    """Open a folder of slices with masks.

    Parameters
    ----------
    root
        Folder that `ich phantom` wrote, or CT-ICH with `BOXES` beside its table.
    only
        Names of the slices to read, as in a prepared data set; None for all.

    Raises
    ------
    DataError
        If the folder has no masks, or a table does not parse.
    """
    if (root / BOXES).is_file() and (root / "Patients_CT").is_dir():
        boxes = read_boxes(root / BOXES)
        kept = {k: v for k, v in boxes.items() if only is None or _name(root, *k) in only}
        return BoxedCtIch(root, kept)
    if (root / _TABLE).is_file() and any(root.glob(f"*/{MASKS}")):
        return MaskedPhantoms(root, _read_phantom_table(root / _TABLE))
    raise DataError(
        f"{root}: no lesion masks; give a folder that `ich phantom` wrote, or CT-ICH with {BOXES}"
    )


@dataclass(frozen=True)
class MaskedPhantoms:
    """Phantoms in a folder that `ich phantom` wrote."""

    root: Path
    patients: dict[str, str]
    """SOPInstanceUID of each slice with hemorrhage → its PatientID."""

    @property
    def kind(self) -> str:
        """Kind of data and of masks."""
        return "phantoms, masks exact"

    def __len__(self) -> int:
        return len(self.patients)

    def read(
        self, contexts: Collection[int], limits: Limits = DEFAULT_LIMITS
    ) -> Iterator[MaskedSlice]:
        """Yield the slices with hemorrhage, study by study."""
        for path in sorted(self.root.glob(f"*/{MASKS}")):
            masks = _read_masks(path)
            for one in scan(sorted(path.parent.glob("*.dcm")), limits).series:
                for index, ref in enumerate(one.slices):
                    found = masks.get(ref.id.sop_uid) if ref.id.sop_uid in self.patients else None
                    ct = _load(ref, limits) if found else None
                    if found and ct is not None:
                        around = _neighbours(one, index, contexts, limits)
                        name = f"{path.parent.name}/{ct.id.instance}"
                        patient = self.patients[ref.id.sop_uid]
                        yield MaskedSlice(name, patient, ct, around, found)


@dataclass(frozen=True)
class BoxedCtIch:
    """CT-ICH with boxes around its hemorrhages."""

    root: Path
    boxes: dict[tuple[int, int], tuple[Box, ...]]
    """Patient and slice number → boxes."""

    @property
    def kind(self) -> str:
        """Kind of data and of masks."""
        return "CT-ICH, masks are boxes"

    def __len__(self) -> int:
        return len(self.boxes)

    def read(
        self, contexts: Collection[int], limits: Limits = DEFAULT_LIMITS
    ) -> Iterator[MaskedSlice]:
        """Yield the boxed slices, patient by patient."""
        for (patient, number), of_slice in sorted(self.boxes.items()):
            folder = _patient_folder(self.root, patient)
            ct = _picture(folder, number)
            if ct is None:
                continue
            masks = {
                label: boxes_to_mask([box for box in of_slice if box.kind == kind], ct.shape)
                for kind, label in enumerate(SUBTYPES)
            }
            around = {c: _pictures_around(folder, number, c) for c in contexts if c}
            name = _name(self.root, patient, number)
            yield MaskedSlice(name, str(patient), ct, around, _with_any(masks))


def _with_any(masks: dict[str, Mask]) -> dict[str, Mask]:
    """Add `any`, the union, in front; leave out empty masks."""
    present = [(label, masks[label]) for label in SUBTYPES if label in masks and masks[label].any()]
    if not present:
        return {}
    return dict([(LABELS[ANY], np.logical_or.reduce([mask for _, mask in present])), *present])


def _load(ref: SliceRef | None, limits: Limits) -> CTSlice | None:
    """Return a decoded slice; None beyond the ends of the series or if it cannot be read."""
    try:
        return None if ref is None else load(ref, limits)
    except InputError:
        return None  # the caller counts missing slices


def _picture(folder: Path, number: int) -> CTSlice | None:
    try:
        return read_images(folder, number)
    except InputError:
        return None


def _neighbours(
    one: Series, index: int, contexts: Collection[int], limits: Limits
) -> dict[int, list[CTSlice | None]]:
    """Return context → neighbouring slices."""
    return {
        context: [_load(ref, limits) for ref in one.neighbours(index, context)]
        for context in contexts
        if context
    }


def _pictures_around(folder: Path, number: int, context: int) -> list[CTSlice | None]:
    steps = (step for step in range(-context, context + 1) if step)
    return [_picture(folder, number + step) for step in steps]


def _read_masks(path: Path) -> dict[str, dict[str, Mask]]:
    """Return SOPInstanceUID → masks of the labels that the slice has."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            uids, bits, labels = file["sop_uids"], file["masks"], file["labels"]
            names = tuple(str(name) for name in file["subtypes"])
        if names != SUBTYPES or not len(uids) == len(bits) == len(labels):
            raise ValueError
        out = {}
        for uid, planes, row in zip(uids, bits, labels, strict=True):
            subtypes = [k for k, value in enumerate(row[1:]) if value]
            masks = {SUBTYPES[k]: (planes >> k & 1).astype(bool) for k in subtypes}
            out[str(uid)] = _with_any(masks)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile):
        raise DataError(
            f"{path}: damaged, or not written by `ich phantom`; generate it again"
        ) from None
    return out


def _read_phantom_table(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["sop_uid"], row["patient"], row["any"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError):
        raise DataError(f"{path}: not a table of `ich phantom`: sop_uid, patient, any") from None
    return {uid: patient for uid, patient, positive in rows if positive == "1"}


def _patient_folder(root: Path, patient: int) -> Path:
    return root / "Patients_CT" / f"{patient:03d}"


def _name(root: Path, patient: int, number: int) -> str:
    return f"{_patient_folder(root, patient).name}/{number}"
