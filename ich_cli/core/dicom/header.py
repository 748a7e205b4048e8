"""Read the header of a DICOM file and check that its frames are axial CT slices in HU.

No pixels are decoded. docs/dicom.md lists the reasons for refusing a file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from ich_cli.core.dicom.ct_slice import Geometry, SliceId
from ich_cli.core.dicom.elements import Elements, Parsed, parse
from ich_cli.core.dicom.files.inflate import Seekable
from ich_cli.core.dicom.geometry import is_axial, read_geometry
from ich_cli.core.dicom.hounsfield import Rescale
from ich_cli.core.dicom.kinds import kind_of_description, kind_of_type
from ich_cli.core.dicom.limits import Limits
from ich_cli.core.dicom.notes import Note
from ich_cli.core.dicom.pixel_format import PixelFormat, read_format
from ich_cli.core.dicom.transfer_syntax import COMPRESSED
from ich_cli.core.dicom.words import header_text, is_head, names_agent, states_hu
from ich_cli.core.errors import BrokenFileError, InputError, NotApplicableError, ReasonCode
from ich_cli.core.system import identifier

DICOMDIR_CLASS: Final = "1.2.840.10008.1.3.10"

_CT_CLASSES: Final = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
_SECONDARY: Final = "1.2.840.10008.5.1.4.1.1.7"
_MODALITIES: Final = """
    AU BI CR DOC DX ECG FID IO KO MG MR NM OCT OP OPT OT PR PT PX REG RF RG RTDOSE RTIMAGE
    RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM SR US XA XC
"""
_STACK: Final = (
    "ConvolutionKernel", "ContrastBolusAgent", "TemporalPositionIdentifier", "AcquisitionNumber",
)  # fmt: skip
PHANTOM_MANUFACTURER: Final = "ich phantom"
"""Manufacturer of files that `ich phantom` writes."""
_PHANTOM_ID: Final = re.compile(r"PHANTOM-\d{4,}", re.ASCII)
_WANTED: Final = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality SeriesDescription
    VolumeBasedCalculationTechnique PatientID BodyPartExamined ContrastBolusAgent
    ContrastBolusAgentSequence SliceThickness GantryDetectorTilt StudyInstanceUID SeriesInstanceUID
    InstanceNumber SliceLocation ConvolutionKernel AcquisitionNumber
    TemporalPositionIdentifier ImagePositionPatient ImageOrientationPatient SamplesPerPixel
    PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing BitsAllocated BitsStored
    HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit RescaleIntercept
    RescaleSlope RescaleType LossyImageCompression ModalityLUTSequence
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ExtendedOffsetTable
    ExtendedOffsetTableLengths SyntheticData Manufacturer
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an instance, with all values needed to decode it."""

    id: SliceId
    geometry: Geometry
    format: PixelFormat
    rescale: Rescale
    notes: tuple[str, ...]
    patient: str = field(repr=False)
    stack: tuple[str, ...] = ()
    """Texts by which the stacks of a series may differ: kernel, contrast agent, temporal position,
    acquisition."""
    synthetic: bool = False
    """True for an image that was computed, not scanned."""


@cache
def _wanted() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    return [tag for keyword in _WANTED.split() if (tag := tag_for_keyword(keyword)) is not None]


def read_frames(
    raw: Seekable, size: int | None, name: str, limits: Limits
) -> list[Frame | InputError]:
    """Read the header of a DICOM file and check that its frames are axial CT slices.

    Parameters
    ----------
    raw
        The open file, recognised as DICOM by `sniff`.
    size
        Its size in bytes; None where not known.
    name
        File name for errors and ids.
    limits
        Bound header size, dimensions and number of frames.

    Returns
    -------
    list
        One entry per frame: an error where the frame is not an axial CT slice in HU. If all are
        errors, only the first.

    Raises
    ------
    InputError
        If the file as a whole cannot be used.
    """
    parsed = parse(raw, size, name, limits, _wanted())
    ids = _ids(parsed.elements, name)
    try:
        _check_kind(parsed, name)
        fmt = read_format(parsed, size, name, limits)
        frames = _frames(parsed.elements, fmt, ids)
    except InputError as error:
        raise error.with_uids(ids.study_uid, ids.series_uid, ids.sop_uid) from None
    errors = [one for one in frames if isinstance(one, InputError)]
    return frames if len(errors) < len(frames) else [errors[0]]


def _check_kind(parsed: Parsed, name: str) -> None:
    """Raise unless the file is a CT image in grey levels."""
    elements, sop_class = parsed.elements, parsed.elements.text("SOPClassUID")
    if DICOMDIR_CLASS in (parsed.media_class, sop_class):
        raise NotApplicableError(name, "DICOMDIR: its files are read from the folder")
    modality = elements.text("Modality").upper()
    if modality != "CT" and not (modality == "" and sop_class in _CT_CLASSES):
        if not modality and not sop_class:
            hint = "the file ends early" if parsed.short else "no Modality and no SOPClassUID"
            raise BrokenFileError(name, f"not a DICOM image: {hint}")
        known = modality in _MODALITIES.split()  # other text may be a name
        shown = modality if known else ("another one" if modality else "missing")
        raise NotApplicableError(name, f"not CT: Modality is {shown}")
    secondary = sop_class == _SECONDARY or sop_class.startswith(_SECONDARY + ".")
    if sop_class and sop_class not in _CT_CLASSES and not secondary:
        raise NotApplicableError(name, f"SOPClassUID is {_class_name(sop_class)}, not a CT image")
    _check_image_type(elements, "ImageType", name)
    if what := kind_of_description(header_text(elements, "SeriesDescription")):
        raise NotApplicableError(name, f"{what} (SeriesDescription), not a plain CT slice")
    if elements.items("ModalityLUTSequence") and "RescaleSlope" not in elements:
        raise NotApplicableError(name, "ModalityLUTSequence: its values are not HU")
    if parsed.pixels in ("Float", "DoubleFloat"):
        raise NotApplicableError(name, f"{parsed.pixels}PixelData is not a CT image's")
    if not parsed.pixels:
        if parsed.short:
            raise BrokenFileError(name, "the file ends before its PixelData", "copy it again")
        raise BrokenFileError(name, "no PixelData in the file")


def _class_name(uid: str) -> str:
    from pydicom._uid_dict import UID_dictionary

    return UID_dictionary[uid][0] if uid in UID_dictionary else "a private or unknown one"


def _check_image_type(elements: Elements, keyword: str, name: str) -> None:
    """Raise unless a plain CT slice, by ImageType or FrameType."""
    for key in (keyword, "VolumeBasedCalculationTechnique"):
        for what in filter(None, map(kind_of_type, elements.texts(key))):
            plain = "an axial" if what == "a localizer" else "a plain CT"
            raise NotApplicableError(name, f"{what} ({key}), not {plain} slice")


def _frames(elements: Elements, fmt: PixelFormat, ids: SliceId) -> list[Frame | InputError]:
    shared = elements.items("SharedFunctionalGroupsSequence")[:1]
    single = elements.items("PerFrameFunctionalGroupsSequence")
    if single and len(single) < fmt.frames:
        raise BrokenFileError(
            ids.path, "PerFrameFunctionalGroupsSequence has fewer items than frames"
        )
    general = _general_notes(elements, fmt)
    stack = tuple(map(elements.text, _STACK))
    patient, synthetic = elements.text("PatientID"), _is_synthetic(elements)
    frames: list[Frame | InputError] = []
    for index in range(fmt.frames):
        groups = _groups([*single[index : index + 1], *shared], elements)
        frame_id = ids._replace(frame=index + 1)
        try:
            frame = _frame(groups, frame_id, fmt, general, patient)
            frames.append(replace(frame, stack=stack, synthetic=synthetic))
        except InputError as error:
            frames.append(error.with_uids(ids.study_uid, ids.series_uid, ids.sop_uid))
    return frames


def _is_synthetic(elements: Elements) -> bool:
    """Return True where SyntheticData says so (PS3.3 C.12.1), and for phantoms of all versions."""
    return (
        elements.text("SyntheticData").upper() == "YES"
        or elements.text("Manufacturer") == PHANTOM_MANUFACTURER
        or bool(_PHANTOM_ID.fullmatch(elements.text("PatientID")))
    )


_GROUPS: Final = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "CTImageFrameTypeSequence",
    "PixelValueTransformationSequence",
    "CTAcquisitionDetailsSequence",
)


def _groups(parents: list[Elements], top: Elements) -> list[Elements]:
    """Return the data sets of a frame: functional groups, then top level (PS3.3 C.7.6.16)."""
    inner = [item for parent in parents for key in _GROUPS for item in parent.items(key)[:1]]
    return [*inner, top]


def _frame(
    groups: list[Elements], id: SliceId, fmt: PixelFormat, general: tuple[str, ...], patient: str
) -> Frame:
    where = f"frame {id.frame}: " if fmt.frames > 1 else ""
    for group in groups:
        _check_image_type(group, "FrameType", id.path)
    kind = next((text for group in groups if (text := group.text("RescaleType"))), "")
    stated = states_hu(kind)
    if stated is False:
        raise NotApplicableError(id.path, f"{where}RescaleType is not HU")
    geometry, notes = read_geometry(groups)
    if not is_axial(geometry):
        reason = f"{where}not axial (ImageOrientationPatient)"
        raise NotApplicableError(id.path, reason, code=ReasonCode.NOT_AXIAL)
    slope = _rescale_value(groups, "RescaleSlope", id.path, where)
    if slope is not None and slope <= 0:
        raise BrokenFileError(id.path, f"{where}RescaleSlope is {slope:g}", "export it again")
    intercept = _rescale_value(groups, "RescaleIntercept", id.path, where)
    _check_page(fmt, slope, intercept, geometry, id.path)
    rescale = Rescale(slope, intercept, stated=stated is True)
    return Frame(id, geometry, fmt, rescale, (*notes, *general), patient)


def _check_page(
    fmt: PixelFormat, slope: float | None, intercept: float | None, geometry: Geometry, name: str
) -> None:
    """Refuse a page or screen of 8 bits, such as a dose report in the series of a head.

    A CT slice of 8 bits has a place in the patient, and a rescale that spreads its 256 values.
    """
    if fmt.bits_allocated > 8:
        return
    if intercept is None or slope in (None, 1.0) or geometry.position is None:
        raise NotApplicableError(
            name, "an 8-bit page without the HU of a slice: a dose report or screen capture"
        )


def _rescale_value(groups: list[Elements], keyword: str, name: str, where: str) -> float | None:
    value = next((one for group in groups if (one := group.number(keyword)) is not None), None)
    if value is not None and not (math.isfinite(value) and abs(value) <= 1e6):
        raise BrokenFileError(name, f"{where}{keyword} is not a usable number", "export it again")
    return value


def _ids(elements: Elements, name: str) -> SliceId:
    number = elements.number("InstanceNumber", "IS")
    whole = number is not None and math.isfinite(number) and abs(number) < 2**31
    return SliceId(
        path=name,
        study_uid=identifier(elements.text("StudyInstanceUID")),
        series_uid=identifier(elements.text("SeriesInstanceUID")),
        sop_uid=identifier(elements.text("SOPInstanceUID")),
        instance=int(number) if whole and number is not None else None,
    )


def _general_notes(elements: Elements, fmt: PixelFormat) -> tuple[str, ...]:
    """Return notes on the instance as a whole, which quote no value of the file."""
    notes = []
    lossy = elements.text("LossyImageCompression") == "01"
    if lossy or (not fmt.native and COMPRESSED[fmt.syntax].lossy):
        notes.append(Note.LOSSY)
    if names_agent(header_text(elements, "ContrastBolusAgent")) or any(
        names_agent(header_text(item, "CodeMeaning") or "agent")
        for item in elements.items("ContrastBolusAgentSequence")
    ):
        notes.append(Note.CONTRAST)
    if elements.text("SOPClassUID").startswith(_SECONDARY):
        notes.append(Note.SECONDARY_CAPTURE)
    part = header_text(elements, "BodyPartExamined")
    if part and not is_head(part):
        notes.append(Note.NOT_HEAD)
    return tuple(notes)
