"""Small CT DICOM made in memory or on disk, for any test of the project that needs files.

Everything has literal, known numbers: an image is air with a square of tissue, 32 x 32, stored as
HU + 1024 unless the caller gives pixels of his own. Use `ct` for a classic slice, `enhanced` for a
multi-frame one, `series` for a folder of slices, `save` for bytes on disk in any transfer syntax.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CLASS = "1.2.840.10008.5.1.4.1.1.2.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
PATIENT = "PLANTED^NAME"
"""Stands in every identifying element: no output may ever hold it."""


def tissue(hu: int = 40, air: int = -1000, side: int = 32, offset: int = 1024) -> NDArray[np.int64]:
    """Stored values (side, side): air with a square of tissue in the middle half."""
    image = np.full((side, side), air + offset, np.int64)
    image[side // 4 : -side // 4, side // 4 : -side // 4] = hu + offset
    return image


def ct(
    stored: NDArray[Any] | None = None,
    *,
    signed: bool = False,
    bits: int = 16,
    position: Sequence[float] | None = (0.0, 0.0, 0.0),
    orientation: Sequence[float] | None = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    instance: int | None = 1,
    series: str = "1.2.3.4",
    **elements: Any,
) -> Dataset:
    """Return a classic CT slice; `elements` by keyword replace or add, None removes."""
    image = tissue() if stored is None else np.asarray(stored)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT_CLASS, f"{series}.{instance or 0}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", series
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID, ds.AccessionNumber = PATIENT, "PLANTED-ID", "PLANTED-NO"
    ds.InstitutionName, ds.PatientBirthDate = "PLANTED HOSPITAL", "19010101"
    ds.InstanceNumber = instance
    ds.ImagePositionPatient = None if position is None else list(position)
    ds.ImageOrientationPatient = None if orientation is None else list(orientation)
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.5], 5
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = image.shape[-2:]
    allocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    ds.RescaleSlope, ds.RescaleIntercept = "1", "-1024"
    ds.PixelData = image.astype(f"<i{allocated // 8}").tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    for keyword in [key for key in ds.dir() if getattr(ds, key) is None or key in _gone(elements)]:
        delattr(ds, keyword)
    return ds


def _gone(elements: dict[str, Any]) -> set[str]:
    return {keyword for keyword, value in elements.items() if value is None}


def enhanced(
    stored: NDArray[Any],
    positions: Sequence[Sequence[float]],
    rescales: Sequence[tuple[str, str]] | None = None,
    **elements: Any,
) -> Dataset:
    """Return an Enhanced CT of shape (frames, rows, columns); rescale per frame, else shared."""
    ds = ct(stored, position=None, orientation=None, **elements)
    ds.SOPClassUID, ds.NumberOfFrames = ENHANCED_CLASS, len(stored)
    del ds.RescaleSlope, ds.RescaleIntercept, ds.PixelSpacing, ds.SliceThickness
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    shared.PixelMeasuresSequence = Items([_item(PixelSpacing=[0.5, 0.5], SliceThickness=5)])
    if rescales is None:
        shared.PixelValueTransformationSequence = Items([_rescale("1", "-1024")])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for index, position in enumerate(positions):
        frame = _item(PlanePositionSequence=Items([_item(ImagePositionPatient=list(position))]))
        if rescales is not None:
            frame.PixelValueTransformationSequence = Items([_rescale(*rescales[index])])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Items(frames)
    return ds


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _rescale(slope: str, intercept: str) -> Dataset:
    return _item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")


def put(ds: Dataset, keyword: str, text: str) -> Dataset:
    """Set an element to text that its VR would not allow."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    ds[tag] = DataElement(tag, "LO", text)
    return ds


def encoded(ds: Dataset, syntax: str = EXPLICIT, frames: Sequence[bytes] | None = None) -> bytes:
    """Return a DICOM file; `frames` are codestreams that take the place of the pixel data."""
    if frames is not None:
        ds.PixelData = encapsulate(list(frames))
        ds["PixelData"].is_undefined_length = True
    if "PixelData" in ds:
        ds["PixelData"].VR = "OW" if frames is None and ds.BitsAllocated > 8 else "OB"
    if syntax == BIG and "PixelData" in ds and ds.BitsAllocated == 16:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CT_CLASS)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3.9")
    meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta = meta
    buffer = io.BytesIO()
    known = {IMPLICIT: True, BIG: False}
    dcmwrite(
        buffer,
        ds,
        implicit_vr=known.get(syntax, False),
        little_endian=syntax != BIG,
        enforce_file_format=True,
    )
    return buffer.getvalue()


def save(
    path: Path, ds: Dataset, syntax: str = EXPLICIT, frames: Sequence[bytes] | None = None
) -> Path:
    """Write a DICOM file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(ds, syntax, frames))
    return path


def series(
    folder: Path, heights: Sequence[float], names: Sequence[str] | None = None, **elements: Any
) -> list[Path]:
    """Write one slice a height in mm; InstanceNumber counts from 1 in the order given."""
    names = names or [f"{at:03d}.dcm" for at in range(1, len(heights) + 1)]
    return [
        save(folder / name, ct(position=(0.0, 0.0, z), instance=at, **elements))
        for at, (z, name) in enumerate(zip(heights, names, strict=True), start=1)
    ]
