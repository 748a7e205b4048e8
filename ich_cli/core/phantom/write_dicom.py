"""Write phantoms as CT Image Storage files, with a table of labels and files of masks."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ich_cli.core.dicom import PHANTOM_MANUFACTURER
from ich_cli.core.errors import OutputError, UsageError
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.core.phantom.studies import PhantomConfig, PhantomStudy, generate_phantom

COLUMNS: Final = ("path", "study_uid", "series_uid", "sop_uid", "patient", *LABELS)
"""Columns of `labels.csv`; `path` is relative to it."""
INTERCEPT: Final = -1024
_NAMESPACE: Final = uuid.UUID("6f1d0d5e-6c3b-5d0e-9f0a-2b6a0c9f4e11")


def make_uid(*parts: object) -> UID:
    """Return a UUID-derived UID (PS3.5 B.2); equal parts give equal UIDs."""
    name = "/".join(map(str, parts))
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")


def study_seed(seed: int, index: int) -> int:
    """Return the seed of study `index` (from 1) of a set made from `seed`."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def write_studies(
    out: Path,
    n: int,
    seed: int,
    subtypes: tuple[str, ...] | None = None,
    *,
    size: int = 512,
    slices: tuple[int, int] = (16, 40),
    thickness: tuple[float, float] = (2.5, 8.0),
    mimics: bool = True,
    overwrite: bool = False,
    on_study: Callable[[PhantomStudy], None] | None = None,
) -> Path:
    """Write `n` synthetic studies, each a folder of DICOM files, and `labels.csv`.

    Parameters
    ----------
    out
        Output folder; created if absent.
    n
        Number of studies: `study-0001` …
    seed
        Determines, with the other settings, every byte including the UIDs.
    subtypes, size, slices, thickness, mimics
        As in `PhantomConfig`.
    overwrite
        Replace existing studies and an existing table.
    on_study
        Called after each study is written.

    Returns
    -------
    Path
        The table `labels.csv`: one row per file, with columns `COLUMNS`.

    Raises
    ------
    UsageError
        If a setting is out of range.
    OutputError
        If the folder cannot be written, or contains such studies and `overwrite` is False.
    """
    if n < 1:
        raise UsageError("the number of studies must be at least 1")
    settings = [
        PhantomConfig(study_seed(seed, k), subtypes, size, slices, thickness, mimics)
        for k in range(1, n + 1)
    ]
    table = out / "labels.csv"
    rows: list[tuple[str, ...]] = []
    with _output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _check_absent(out, table, n, overwrite=overwrite)
        for number, config in enumerate(settings, 1):
            study = generate_phantom(config)
            rows += _write_folder(out / f"study-{number:04d}", study, number, overwrite=overwrite)
            if on_study:
                on_study(study)
        _write_table(table, rows)
    return table


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    """Convert an OSError to an OutputError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(
            f"{out}: cannot write phantoms ({reason}); choose another folder"
        ) from None


def _check_absent(out: Path, table: Path, n: int, *, overwrite: bool) -> None:
    existing = [
        p for p in (table, *(out / f"study-{k:04d}" for k in range(1, n + 1))) if p.exists()
    ]
    if existing and not overwrite:
        raise OutputError(
            f"{existing[0]} exists already; choose an empty folder, or add --overwrite"
        )


def _write_folder(
    folder: Path, study: PhantomStudy, number: int, *, overwrite: bool
) -> list[tuple[str, ...]]:
    """Write one study to a temporary folder, then rename it; return its rows of the table."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        rows = []
        datasets = list(to_datasets(study, number))
        for k, dataset in enumerate(datasets):
            name = f"slice-{k + 1:03d}.dcm"
            dataset.save_as(temporary / name, enforce_file_format=True)
            rows.append(_row(f"{folder.name}/{name}", dataset, study.labels[k]))
        _write_masks(temporary / "masks.npz", study, [str(d.SOPInstanceUID) for d in datasets])
        temporary.chmod(0o755)
        if overwrite and folder.is_dir():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return rows


def _row(path: str, dataset: Dataset, labels: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    return (path, *map(str, uids), str(dataset.PatientID), *(str(int(v)) for v in labels))


def _write_masks(path: Path, study: PhantomStudy, uids: list[str]) -> None:
    """Write `sop_uids (N,)`, `masks (N, H, W)` as a bit field, `subtypes (5,)`, `labels (N, 6)`."""
    np.savez_compressed(
        path,
        sop_uids=np.array(uids),
        masks=study.masks,
        subtypes=np.array(SUBTYPES),
        labels=study.labels,
    )


def _write_table(table: Path, rows: list[tuple[str, ...]]) -> None:
    handle, name = tempfile.mkstemp(prefix=".labels-", dir=table.parent)
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        Path(name).chmod(0o644)
        Path(name).replace(table)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def to_datasets(study: PhantomStudy, number: int = 1) -> Iterator[Dataset]:
    """Yield a study's slices as CT Image Storage datasets (PS3.3 A.3), caudal first.

    `number` is part of the patient's name and ID: `PHANTOM^0001`, `PHANTOM-0001`.
    """
    for index in range(len(study.hu)):
        dataset = Dataset()
        _set_identity(dataset, study, number, index)
        _set_plane(dataset, study, index)
        _set_pixels(dataset, study.hu[index])
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta = meta
        yield dataset


def _set_identity(dataset: Dataset, study: PhantomStudy, number: int, index: int) -> None:
    """Set the Patient, Study, Series, Equipment and SOP Common modules (PS3.3 C.7.1 … C.12.1)."""
    key = (study.config, number)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = make_uid(*key, "image", index)
    dataset.StudyInstanceUID = make_uid(*key, "study")
    dataset.SeriesInstanceUID = make_uid(*key, "series")
    dataset.FrameOfReferenceUID = make_uid(*key, "frame")
    dataset.PositionReferenceIndicator = ""
    dataset.PatientName, dataset.PatientID = f"PHANTOM^{number:04d}", f"PHANTOM-{number:04d}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID, dataset.SeriesNumber = str(number), 1
    dataset.StudyDescription = "Synthetic head CT"
    dataset.Modality, dataset.BodyPartExamined, dataset.PatientPosition = "CT", "HEAD", "HFS"
    dataset.Manufacturer, dataset.SyntheticData = PHANTOM_MANUFACTURER, "YES"
    dataset.AcquisitionNumber, dataset.InstanceNumber = 1, index + 1


def _set_plane(dataset: Dataset, study: PhantomStudy, index: int) -> None:
    """Set the Image Plane module (PS3.3 C.7.6.2) and scan settings (PS3.3 C.8.2.1)."""
    geometry = study.geometry
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP = 120
    dataset.PixelSpacing = list(geometry.spacing)
    dataset.ImageOrientationPatient = list(geometry.orientation)
    dataset.ImagePositionPatient = list(geometry.positions[index])
    dataset.SliceThickness = geometry.thickness
    dataset.SliceLocation = round(geometry.positions[index][2], 4)
    dataset.GantryDetectorTilt = geometry.tilt


def _set_pixels(dataset: Dataset, hu: npt.NDArray[np.int16]) -> None:
    """Set the Image Pixel module (PS3.3 C.7.6.3) and the CT Image module (PS3.3 C.8.2.1)."""
    stored = (hu.astype(np.int32) - INTERCEPT).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = hu.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = INTERCEPT, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 80
    dataset.PixelData = stored.tobytes()
