"""Maps as Secondary Capture images (PS3.3 A.8.1) at the positions of their slices.

Position, orientation, spacing and frame of reference are copied from each slice, which preserves
gantry tilt and uneven spacing. The IOD does not list these elements; a standard extended SOP class
(PS3.2 section 7.3) may contain them, and viewers align series by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from highdicom import sc
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM, DSfloat

from ich_cli.core.dicom import CTSlice
from ich_cli.core.imaging import edge_letters
from ich_cli.core.report.dicom.codes import SOURCE_IMAGE
from ich_cli.core.report.dicom.structured_report import SourceInstance
from ich_cli.core.report.pictures import MappedSlice, overlay_map

if TYPE_CHECKING:
    from ich_cli.core.report.dicom.uids import Identity

SERIES_NUMBER: Final = 902
_COPIED: Final = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "FrameOfReferenceUID", "PositionReferenceIndicator",
)  # fmt: skip
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def make_map(
    mapped: MappedSlice,
    label: str,
    probability: float,
    one: SourceInstance,
    number: int,
    identity: Identity,
) -> sc.SCImage:
    """Return a slice with the map of a label over it.

    Parameters
    ----------
    mapped
        The slice and its maps.
    label
        Label of the map.
    probability
        Probability of the label in this slice.
    one
        Source instance.
    number
        InstanceNumber, from 1.
    identity
        UIDs and time of the report.
    """
    source, letters = one.source, edge_letters(mapped.ct.geometry)
    image = sc.SCImage(
        pixel_array=_captioned(overlay_map(mapped, label), f"{label} {probability:.3f}"),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=identity.uid("map series", label),
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.uid("map", label, source.SOPInstanceUID, one.frame, number),
        instance_number=number,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        patient_orientation=("L", "P"),
        specific_character_set="ISO_IR 192",
        series_description=f"ich: {mapped.method}, {label}. Research use only",
        **identity.equipment,
        **identity.written,
    )
    image.PatientOrientation = [letters.right, letters.bottom] if letters else []
    image.ConversionType = "WSD"
    image.BurnedInAnnotation = "NO"
    image.BodyPartExamined = "HEAD"
    image.DerivationDescription = "Brain window with a map of where a model looked"
    if "IssuerOfPatientID" in source:
        image.IssuerOfPatientID = source.IssuerOfPatientID
    image.DateOfSecondaryCapture = DA(identity.written["content_date"])
    image.TimeOfSecondaryCapture = TM(identity.written["content_time"])
    _place(image, mapped.ct, source)
    image.SourceImageSequence = [_reference(one)]
    return image


def _captioned(shown: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Draw label, probability and research notice into the upper left corner."""
    out = np.ascontiguousarray(shown)
    size = out.shape[0] / 1100
    for row, line in enumerate((text, "research use only")):
        place = (round(8 * size) + 2, round((row + 1) * 30 * size) + 2)
        for colour, width in (((0, 0, 0), 3), ((235, 235, 235), 1)):
            cv2.putText(out, line, place, _FONT, size, colour, width, cv2.LINE_AA)
    return out


def _place(image: Dataset, ct: CTSlice, source: Dataset) -> None:
    """Set the position of the image: elements of the source, else the geometry of its frame."""
    for keyword in _COPIED:
        if keyword in source and source[keyword].value not in (None, ""):
            image[keyword] = source[keyword]
    geometry = ct.geometry
    directions = (geometry.row_direction or ()) + (geometry.column_direction or ())
    for keyword, values in (
        ("ImagePositionPatient", geometry.position),
        ("ImageOrientationPatient", directions),
        ("PixelSpacing", geometry.spacing),
    ):
        if keyword not in image and values:
            setattr(image, keyword, [DSfloat(value, auto_format=True) for value in values])
    if "SliceThickness" not in image and geometry.thickness:
        image.SliceThickness = DSfloat(geometry.thickness, auto_format=True)


def _reference(one: SourceInstance) -> Dataset:
    item, purpose = Dataset(), Dataset()
    item.ReferencedSOPClassUID = one.source.SOPClassUID
    item.ReferencedSOPInstanceUID = one.source.SOPInstanceUID
    if "NumberOfFrames" in one.source:
        item.ReferencedFrameNumber = one.frame
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = SOURCE_IMAGE
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
