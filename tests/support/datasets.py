"""Miniatures of public data sets in their owners' exact layout, made from phantoms.

Each function writes one data set below a folder and returns the folder that a user would name.
Names, tags present and absent, ids, columns and quirks are those of the real files; the images are
phantoms of 64 x 64 pixels. Sources: the owners' own readmes, cards and loaders (docs/datasets.md).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom import PhantomConfig, PhantomStudy, generate_phantom

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
SIZE = 64
"""Rows and columns of every image."""

HEALTHY: tuple[str, ...] = ()
INTRAPARENCHYMAL = ("intraparenchymal",)
SUBDURAL = ("subdural",)


@cache
def phantom(seed: int, subtypes: tuple[str, ...], slices: int = 6) -> PhantomStudy:
    """Return a phantom of a few thick slices."""
    return generate_phantom(
        PhantomConfig(seed, subtypes, SIZE, (slices, slices), (5.0, 5.0), mimics=False)
    )


def pseudonym(digits: int, *parts: object) -> str:
    """Return ``ID_`` and hex digits, as RSNA 2019 writes all its identifiers."""
    return "ID_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:digits]


def real_uid(*parts: object) -> str:
    """Return a valid UID."""
    return f"2.25.{int(hashlib.sha256(repr(parts).encode()).hexdigest()[:30], 16)}"


# --- RSNA 2019 -------------------------------------------------------------------------------

RSNA_STUDIES: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (1, 1, INTRAPARENCHYMAL),
    (1, 2, HEALTHY),  # a patient may have several studies
    (2, 1, HEALTHY),
    (3, 1, SUBDURAL),
    (3, 2, INTRAPARENCHYMAL),
    (4, 1, HEALTHY),
    (5, 1, SUBDURAL),
    (6, 1, HEALTHY),
)
"""Patient, study of the patient, hemorrhages planted: 6 patients, 8 studies."""
RSNA_WRAPPED = (2, 1, 3)
"""Patient, study and slice whose values wrapped: HU modulo 4096 in 12 bits, intercept 0."""

RSNA_BROKEN = "ID_6431af929"
"""The one file of RSNA that is known to be broken."""


def make_rsna(root: Path) -> Path:
    """Write ``stage_2_train.csv`` and a flat ``stage_2_train/``, nested twice as unzipped.

    Two transfer syntaxes, doubled table rows, files in the order of random names, one slice whose
    RescaleIntercept is wrong, one truncated file.
    """
    outer = root / "rsna-intracranial-hemorrhage-detection"
    base = outer / "rsna-intracranial-hemorrhage-detection"
    files = base / "stage_2_train"
    files.mkdir(parents=True)
    rows: list[tuple[str, int]] = []
    for patient, number, subtypes in RSNA_STUDIES:
        study = phantom(100 * patient + number, subtypes)
        for index in range(len(study.hu)):
            dataset = rsna_slice(study, patient, number, index)
            if (patient, number, index) == RSNA_WRAPPED:
                _wrap(dataset, study.hu[index])
            name = str(dataset[tag_for_keyword("SOPInstanceUID")].value)
            syntax = ExplicitVRLittleEndian if number == 1 else ImplicitVRLittleEndian
            save_dicom(files / f"{name}.dcm", dataset, syntax, f"1.2.840.4267.32.{len(rows) + 1}")
            labels = study.labels[index]
            own = [(f"{name}_{label}", int(labels[1 + k])) for k, label in enumerate(SUBTYPES)]
            own.append((f"{name}_any", int(labels[0])))
            rows += own
    rows += [(f"{RSNA_BROKEN}_{label}", 0) for label in (*SUBTYPES, "any")]
    whole = next(files.iterdir()).read_bytes()
    (files / f"{RSNA_BROKEN}.dcm").write_bytes(whole[: len(whole) // 2])
    rows += rows[:6]  # some slices' rows stand twice, identical
    _write_csv(base / "stage_2_train.csv", ("ID", "Label"), rows)
    (base / "stage_2_test").mkdir()
    return outer


def rsna_slice(study: PhantomStudy, patient: int, number: int, index: int) -> Dataset:
    """Return one slice with the elements that RSNA's files have, and no others."""
    ids = (patient, number)
    geometry = study.geometry
    return _dataset(
        SOPInstanceUID=pseudonym(9, "sop", *ids, index),
        Modality="CT",
        PatientID=pseudonym(8, "patient", patient),
        StudyInstanceUID=pseudonym(10, "study", *ids),
        SeriesInstanceUID=pseudonym(10, "series", *ids),
        StudyID="",
        ImagePositionPatient=_decimals(geometry.positions[index]),
        ImageOrientationPatient=_decimals(geometry.orientation),
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=SIZE,
        Columns=SIZE,
        PixelSpacing=_decimals(geometry.spacing),
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        WindowCenter=["00036", "00036"],
        WindowWidth=["00080", "00080"],
        RescaleIntercept="-1024",
        RescaleSlope="1",
        PixelData=(study.hu[index].astype(np.int32) + 1024).astype("<i2").tobytes(),
    )


def _wrap(dataset: Dataset, hu: NDArray[np.int16]) -> None:
    """Store a slice as some of RSNA's are: negative HU wrapped to the top of 12 bits."""
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.RescaleIntercept = "0"
    dataset.PixelData = (hu.astype(np.int32) % 4096).astype("<u2").tobytes()


# --- CT-ICH ----------------------------------------------------------------------------------

CT_ICH_PATIENTS = ((49, INTRAPARENCHYMAL), (50, HEALTHY), (66, SUBDURAL), (67, HEALTHY))
CT_ICH_COLUMNS = (
    "PatientNumber", "SliceNumber", "Intraventricular", "Intraparenchymal", "Subarachnoid",
    "Epidural", "Subdural", "No_Hemorrhage",
)  # fmt: skip


def make_ct_ich_nifti(root: Path) -> Path:
    """Write CT-ICH 1.3.1: uncompressed NIfTI, masks of 0 and 255, demographics beside."""
    name = "computed-tomography-images-for-intracranial-hemorrhage-detection-and-segmentation"
    base = root / f"{name}-1.3.1"
    for folder in ("ct_scans", "masks"):
        (base / folder).mkdir(parents=True)
    rows = []
    for patient, subtypes in CT_ICH_PATIENTS:
        study = phantom(700 + patient, subtypes)
        save_nifti(base / "ct_scans" / f"{patient:03d}.nii", study.hu, study)
        mask = np.where(study.masks > 0, 255, 0).astype(np.uint8)
        save_nifti(base / "masks" / f"{patient:03d}.nii", mask, study)
        rows += [(*row, 0) for row in _ct_ich_rows(patient, study)]
    _write_csv(base / "hemorrhage_diagnosis_raw_ct.csv", (*CT_ICH_COLUMNS, "Fracture_Yes_No"), rows)
    (base / "Patient_demographics.csv").write_text("Patient Number,Age\n49,60\n")
    return base


def make_ct_ich_pictures(root: Path) -> Path:
    """Write CT-ICH 1.0.0: JPEG pictures in two windows, masks of positive slices beside."""
    rows = []
    for patient, subtypes in CT_ICH_PATIENTS:
        study = phantom(700 + patient, subtypes)
        folder = root / "Patients_CT" / f"{patient:03d}"
        for window in ("brain", "bone"):
            (folder / window).mkdir(parents=True)
        for index, hu in enumerate(study.hu):
            name = f"{index + 1}.jpg"
            _write_picture(folder / "brain" / name, (hu + 20.0) / 120)
            _write_picture(folder / "bone" / name, (hu + 900.0) / 3200)
            if study.masks[index].any():
                path = folder / "brain" / f"{index + 1}_HGE_Seg.jpg"
                _write_picture(path, (study.masks[index] > 0).astype(float))
        rows += [(*row, 0) for row in _ct_ich_rows(patient, study)]
    header = (*CT_ICH_COLUMNS, "Fracture_Yes_No")
    _write_csv(root / "hemorrhage_diagnosis.csv", header, rows)
    return root


def make_incomplete_ct_ich(root: Path) -> None:
    """Write CT-ICH 1.0.0 with a bone image missing, rows without images and images without rows."""
    head = np.zeros((64, 64), np.uint8)
    head[16:48, 16:48] = 110
    for patient, slices in (("049", (1, 2, 10)), ("050", (1,))):
        for kind in ("brain", "bone"):
            (root / "Patients_CT" / patient / kind).mkdir(parents=True)
            for number in slices:
                if (patient, kind, number) != ("049", "bone", 2):
                    path = root / "Patients_CT" / patient / kind / f"{number}.jpg"
                    cv2.imwrite(str(path), head if kind == "brain" else head // 110 * 75)
    cv2.imwrite(str(root / "Patients_CT" / "049" / "brain" / "10_HGE_Seg.jpg"), head)
    (root / "hemorrhage_diagnosis.csv").write_text(
        "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,"
        "Subdural,No_Hemorrhage,Fracture_Yes_No\n"
        "49,1,0,0,0,0,0,1,0\n49,2,0,0,0,1,0,0,0\n49,10,1,0,0,0,0,0,0\n49,11,0,0,0,0,0,1,0\n"
        "51,1,0,0,0,0,0,1,0\n"
    )


def _ct_ich_rows(patient: int, study: PhantomStudy) -> list[tuple[int, ...]]:
    order = ("intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
    found = []
    for index, labels in enumerate(study.labels):
        own = [int(labels[1 + SUBTYPES.index(subtype)]) for subtype in order]
        found.append((patient, index + 1, *own, 1 - int(labels[0])))
    return found


# --- CQ500 and what was annotated on it --------------------------------------------------------

CQ500_STUDIES = ((0, INTRAPARENCHYMAL), (1, HEALTHY), (2, SUBDURAL), (3, HEALTHY))
_READS = (
    "ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "BleedLocation-Right",
    "ChronicBleed", "Fracture", "CalvarialFracture", "OtherFracture", "MassEffect", "MidlineShift",
)  # fmt: skip
_CQ500_NAMES = {"IPH": "intraparenchymal", "IVH": "intraventricular", "SDH": "subdural",
                "EDH": "epidural", "SAH": "subarachnoid"}  # fmt: skip


def make_cq500(root: Path) -> Path:
    """Write CQ500: several series a study, and ``reads.csv`` of three readers who may disagree.

    Study 3 is healthy, but one of three readers saw a hemorrhage.
    """
    for number, subtypes in CQ500_STUDIES:
        study = phantom(300 + number, subtypes, 8)
        folder = root / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study"
        for description, step in (("CT 5mm", 1), ("CT BONE", 1)):
            (folder / description).mkdir(parents=True)
            for index in range(0, len(study.hu), step):
                path = folder / description / f"CT{index:06d}.dcm"
                save_dicom(path, cq500_slice(study, number, description, index))
    _write_reads(root / "reads.csv")
    return root


def cq500_slice(study: PhantomStudy, number: int, description: str, index: int) -> Dataset:
    """Return one slice with true UIDs and the pseudonym CQ500-CT-N."""
    ids = ("cq500", number)
    geometry = study.geometry
    return _dataset(
        SOPClassUID=CT_CLASS,
        SOPInstanceUID=real_uid(*ids, description, index),
        StudyInstanceUID=real_uid(*ids),
        SeriesInstanceUID=real_uid(*ids, description),
        Modality="CT",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        PatientID=f"CQ500-CT-{number}",
        PatientName=f"CQ500-CT-{number}",
        SeriesDescription=description.removeprefix("CT "),
        ConvolutionKernel="BONE" if "BONE" in description else "STANDARD",
        BodyPartExamined="HEAD",
        SliceThickness="5",
        InstanceNumber=index + 1,
        ImagePositionPatient=_decimals(geometry.positions[index]),
        ImageOrientationPatient=_decimals(geometry.orientation),
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=SIZE,
        Columns=SIZE,
        PixelSpacing=_decimals(geometry.spacing),
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        RescaleIntercept="-1024",
        RescaleSlope="1",
        RescaleType="HU",
        PixelData=(study.hu[index].astype(np.int32) + 1024).astype("<i2").tobytes(),
    )


def _write_reads(path: Path) -> None:
    header = ["name", "Category", *(f"R{k}:{name}" for k in (1, 2, 3) for name in _READS)]
    rows: list[Sequence[Any]] = []
    for number, subtypes in CQ500_STUDIES:
        row: list[Any] = [f"CQ500-CT-{number}", "B1"]
        for reader in (1, 2, 3):
            alarm = number == 3 and reader == 2
            has = {name for name, own in _CQ500_NAMES.items() if own in subtypes}
            has |= {"SAH"} if alarm else set()
            has |= {"ICH"} if has else set()
            row += [int(name in has) for name in _READS]
        rows.append(row)
    _write_csv(path, header, rows)


def make_bhx(root: Path) -> Path:
    """Write the boxes of BHX 1.1 on `make_cq500`; the first column has no name."""
    rows: list[Sequence[Any]] = []
    for number, subtypes in CQ500_STUDIES:
        study = phantom(300 + number, subtypes, 8)
        for index, mask in enumerate(study.masks):
            if not mask.any():
                continue
            x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
            dataset = cq500_slice(study, number, "CT 5mm", index)
            box = f"{{'x': {x}, 'y': {y}, 'width': {width}, 'height': {height}}}"
            rows.append((
                len(rows), str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID),
                str(dataset.StudyInstanceUID), box, subtypes[0].capitalize(), "BOX",
            ))  # fmt: skip
    header = ("", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "data", "labelName",
              "labelType")  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    _write_csv(root / "1_Initial_Manual_Labeling.csv", header, rows)
    return root


def make_seg_cq500(root: Path) -> Path:
    """Write Seg-CQ500: ``info.csv`` and a volume with a binary mask a folder."""
    base = root / "Seg-CQ500" / "data" / "volumes"
    names = []
    for number, subtypes in CQ500_STUDIES[:3]:
        study, name = phantom(300 + number, subtypes, 8), f"CQ500CT{number}"
        (base / name).mkdir(parents=True)
        save_nifti(base / name / "CT.nii", study.hu, study)
        save_nifti(base / name / "ICH_mask.nii.gz", (study.masks > 0).astype(np.uint8), study)
        names.append((name,))
    _write_csv(base / "info.csv", ("name",), names)
    return root / "Seg-CQ500"


# --- Sets drawn from RSNA's patients -----------------------------------------------------------

_BHSD_VALUES = {"epidural": 1, "intraparenchymal": 2, "intraventricular": 3, "subarachnoid": 4,
                "subdural": 5}  # fmt: skip


def _rsna_name(patient: int, number: int) -> str:
    return f"{pseudonym(8, 'patient', patient)}_{pseudonym(10, 'study', patient, number)}"


def _classes(study: PhantomStudy) -> NDArray[np.uint8]:
    """Return masks ``(N, H, W)`` with BHSD's values: 0 background, 1 EDH … 5 SDH."""
    values = np.zeros(study.masks.shape, np.uint8)
    for subtype, value in _BHSD_VALUES.items():
        values[study.mask(subtype)] = value
    return values


def make_bhsd(root: Path) -> Path:
    """Write BHSD: a blank in a folder's name; one label file without its suffix, as on the Hub."""
    base = root / "label_192"
    images, masks = base / "images", base / "ground truths"
    for folder in (images, masks):
        folder.mkdir(parents=True)
    for place, (patient, number, subtypes) in enumerate(RSNA_STUDIES[:4]):
        study, name = phantom(100 * patient + number, subtypes), _rsna_name(patient, number)
        save_nifti(images / f"{name}.nii.gz", study.hu, study)
        save_nifti(masks / f"{name}.nii.gz", _classes(study), study)
        if place == 2:
            (masks / f"{name}.nii.gz").rename(masks / name)
    return root


def make_mbh(root: Path) -> Path:
    """Write MBH-Seg 2025: voxel labels of two raters, and case labels in a table."""
    voxel, case = root / "MBH_Train_2025_voxel-label", root / "MBH_Train_2025_case-label"
    case.mkdir(parents=True)
    rows = []
    for place, (patient, number, subtypes) in enumerate(RSNA_STUDIES):
        study, name = phantom(100 * patient + number, subtypes), _rsna_name(patient, number)
        if place < 3:
            (voxel / name).mkdir(parents=True)
            save_nifti(voxel / name / "image.nii.gz", study.hu, study)
            for rater in (1, 2):
                path = voxel / name / f"label_annot_{rater}.nii.gz"
                save_nifti(path, _classes(study), study)
        else:
            save_nifti(case / f"{name}.nii.gz", study.hu, study)
            rows.append((name, int(bool(subtypes)), *(int(one in subtypes) for one in SUBTYPES)))
    _write_csv(case / "case-wise_annotation.csv", ("patientID_studyID", "any", *SUBTYPES), rows)
    return root


def make_hemseg(root: Path) -> Path:
    """Write HemSeg-500: masks only, named by RSNA's studies without ``ID_``."""
    for part, studies in (("train", RSNA_STUDIES[:2]), ("val", RSNA_STUDIES[3:4])):
        folder = root / "HemSeg-500" / part / "label"
        folder.mkdir(parents=True)
        for patient, number, subtypes in studies:
            study = phantom(100 * patient + number, subtypes)
            name = pseudonym(10, "study", patient, number).removeprefix("ID_")
            mask = (study.masks > 0).astype(np.uint8)
            save_nifti(folder / f"{name}.nii.gz", mask, study)
    return root / "HemSeg-500"


def make_instance(root: Path) -> Path:
    """Write INSTANCE 2022: data and binary masks by number."""
    base = root / "train_2"
    for folder in ("data", "label"):
        (base / folder).mkdir(parents=True)
    for number, subtypes in ((1, INTRAPARENCHYMAL), (2, SUBDURAL), (3, HEALTHY)):
        study = phantom(400 + number, subtypes)
        save_nifti(base / "data" / f"{number:03d}.nii.gz", study.hu, study)
        mask = (study.masks > 0).astype(np.uint8)
        save_nifti(base / "label" / f"{number:03d}.nii.gz", mask, study)
    return root


# --- Pictures, and the course set ---------------------------------------------------------------


def make_headct200(root: Path) -> Path:
    """Write head-ct-hemorrhage: 8-bit pictures; the label's column begins with a blank."""
    folder = root / "head_ct" / "head_ct"
    folder.mkdir(parents=True)
    rows = []
    for number in range(6):
        bleeding = number < 3
        study = phantom(500 + number, INTRAPARENCHYMAL if bleeding else HEALTHY)
        index = int(np.argmax(study.masks.any(axis=(1, 2)))) if bleeding else 3
        _write_picture(folder / f"{number:03d}.png", study.hu[index] / 80.0)
        rows.append((number, int(bleeding)))
    _write_csv(root / "labels.csv", ("id", " hemorrhage"), rows)
    return root


def make_dlmi(root: Path) -> Path:
    """Write the course set: five rows per file without `any`, a header of unknown words, train2."""
    order = ("intraventricular", "subarachnoid", "subdural", "intraparenchymal", "epidural")
    rows = []
    for patient, number, subtypes in RSNA_STUDIES[:4]:
        study = phantom(100 * patient + number, subtypes)
        folder = root / ("train2" if patient == 2 else "train1")
        folder.mkdir(parents=True, exist_ok=True)
        for index, labels in enumerate(study.labels):
            dataset = rsna_slice(study, patient, number, index)
            name = f"{dataset[tag_for_keyword('SOPInstanceUID')].value}.dcm"
            save_dicom(folder / name, dataset, sop=real_uid(name))
            if patient != 2:
                rows += [(name, one, int(labels[1 + SUBTYPES.index(one)])) for one in order]
    _write_csv(root / "Public_train_label.csv", ("image", "kind", "value"), rows)
    (root / "test").mkdir()
    return root


# --- Files ---------------------------------------------------------------------------------------


def save_nifti(path: Path, volume: NDArray[Any], study: PhantomStudy) -> None:
    """Write slices ``(N, H, W)`` as NIfTI with the affine of a phantom's geometry (RAS+)."""
    geometry = study.geometry
    down, across = geometry.spacing
    first, last = np.asarray(geometry.positions[0]), np.asarray(geometry.positions[-1])
    x, y = np.reshape(geometry.orientation, (2, 3))
    step = (last - first) / max(1, len(geometry.positions) - 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = x * across, y * down, step
    affine[:3, 3] = first
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS+ to RAS+
    nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine), path)


def save_dicom(
    path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian, sop: str | None = None
) -> None:
    """Write a data set with a file meta header; `sop` is its MediaStorageSOPInstanceUID."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CT_CLASS
    meta.MediaStorageSOPInstanceUID = sop or str(dataset.SOPInstanceUID)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = "1.2.3.4"
    implicit = syntax == ImplicitVRLittleEndian
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        stream = DicomFileLike(file)
        stream.is_implicit_VR, stream.is_little_endian = False, True
        write_file_meta_info(stream, meta, enforce_standard=True)
        stream.is_implicit_VR = implicit
        write_dataset(stream, dataset)


def _dataset(**elements: Any) -> Dataset:
    """Return a data set; values are taken as they are, for owners break rules of their VR."""
    dataset = Dataset()
    for keyword, value in elements.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        vr = "OW" if keyword == "PixelData" else dictionary_VR(tag)
        dataset.add(DataElement(tag, vr, value, validation_mode=IGNORE))
    return dataset


def _decimals(values: Iterable[Any]) -> list[str]:
    return [f"{float(value):.6f}" for value in np.ravel(np.asarray(values, float))]


def _write_picture(path: Path, shade: NDArray[Any]) -> None:
    """Write values in [0, 1], clipped, as an 8-bit picture."""
    pixels = np.rint(255 * np.clip(np.asarray(shade, float), 0, 1)).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
    assert cv2.imwrite(str(path), pixels, options)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
