"""DICOM attributes that output files copy from their source files, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ich_cli.core.dicom import Elements, Limits, Seekable, parse, read_file
from ich_cli.core.errors import NotApplicableError
from ich_cli.core.pictures import PictureFormat
from ich_cli.core.series.types import SliceRef
from ich_cli.core.system import as_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PLACE: Final = (
    "SOPClassUID", "FrameOfReferenceUID", "PositionReferenceIndicator", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "NumberOfFrames",
)  # fmt: skip
"""Attributes that identify an instance and its position."""
PATIENT: Final = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate",
    "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
)  # fmt: skip
"""Attributes by which an archive files a study; copied with ``--keep-patient`` only."""

_BURNED: Final = ("BurnedInAnnotation", "SOPClassUID")
_SECONDARY: Final = "1.2.840.10008.5.1.4.1.1.7"


def read_source(ref: SliceRef, limits: Limits, *, keep_patient: bool = False) -> Dataset:
    """Return a data set with which other objects can reference a source instance.

    Parameters
    ----------
    ref
        Slice that `scan` found.
    limits
        Bounds on what is read.
    keep_patient
        Copy the elements of `PATIENT`; otherwise they are empty.

    Returns
    -------
    pydicom.Dataset
        UIDs, position and patient; text as Unicode.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    from pydicom.dataset import Dataset

    if not ref.is_dicom:
        raise NotApplicableError(ref.source.name, "not DICOM: it has no attributes to refer to")
    found = _elements(ref, limits, (*PLACE, *(PATIENT if keep_patient else ())))
    source = Dataset()
    source.StudyInstanceUID = as_uid(ref.id.study_uid)
    source.SeriesInstanceUID = as_uid(ref.id.series_uid)
    source.SOPInstanceUID = as_uid(ref.id.sop_uid)
    source.Rows, source.Columns = ref.format.rows, ref.format.columns
    for keyword in PLACE:
        _copy(source, found, keyword)
    for keyword in PATIENT:
        if keyword != "IssuerOfPatientID":
            setattr(source, keyword, None)
        if keep_patient:
            _copy(source, found, keyword)
    return source


def shows_patient(ref: SliceRef, limits: Limits) -> bool:
    """Return True if a patient's data may be burned into the pixels.

    This is so if BurnedInAnnotation is YES (PS3.3 C.7.6.1), for a secondary capture without NO, and
    for a PNG or JPEG picture: screenshots often show names.
    """
    if not ref.is_dicom:
        return isinstance(ref.format, PictureFormat)
    found = _elements(ref, limits, _BURNED)
    burned = found.text("BurnedInAnnotation").upper()
    return burned == "YES" or (found.text("SOPClassUID").startswith(_SECONDARY) and burned != "NO")


def _elements(ref: SliceRef, limits: Limits, keywords: tuple[str, ...]) -> Elements:
    from pydicom.datadict import tag_for_keyword

    tags = [tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None]

    def read(raw: Seekable, size: int | None) -> Elements:
        return parse(raw, size, ref.source.name, limits, tags).elements

    return read_file(ref.source, limits, read)


def _copy(source: Dataset, found: Elements, keyword: str) -> None:
    """Copy an element if its value is valid for its VR."""
    from pydicom.config import RAISE
    from pydicom.dataelem import DataElement

    element: Any = found.element(keyword)
    if element is None:
        return
    try:
        source.add(DataElement(element.tag, element.VR, element.value, validation_mode=RAISE))
    except (ValueError, TypeError, OverflowError):
        return
