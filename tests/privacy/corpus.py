"""A study with identifiers planted wherever DICOM, zips, names and tables have room for text."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit

from ich_cli.core.phantom import write_studies

SLICES = 6
STANDARD = 130  # elements of the dictionary
VRS = {"PN": 64, "LO": 64, "SH": 16, "LT": 1024, "ST": 1024, "UT": 1024, "UC": 64}
DATES = {
    "PatientBirthDate": "19170304", "StudyDate": "19180405", "SeriesDate": "19190506",
    "AcquisitionDate": "19200607", "ContentDate": "19210708", "DateOfLastCalibration": "19220809",
    "InstanceCreationDate": "19230910", "LastMenstrualDate": "19241011",
}  # fmt: skip
NAMES = ("山田花子", "Яковлева", "Grünewäldle")


class Planter:
    """Create unique tokens and record where each was planted."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {**{v: k for k, v in DATES.items()}}
        self.places |= {name: f"PatientName {name.encode('unicode-escape')!r}" for name in NAMES}
        self._numbers = count(100)

    def __call__(self, place: str) -> str:
        token = f"PLANT{next(self._numbers)}Q"
        self.places[token] = place
        return token


def plant(folder: Path) -> tuple[Path, Path, Planter]:
    """Write the study; return the folder of scans, a table of labels, and the planted tokens."""
    planter = Planter()
    write_studies(folder / "source", 2, 3, size=64, slices=(SLICES, SLICES), thickness=(8, 10))
    scans = folder / "scans"
    home = scans / planter("folder")
    home.mkdir(parents=True)
    values = list(_values(planter))
    tables: list[tuple[str, str]] = []
    for number, path in enumerate(sorted((folder / "source").rglob("*.dcm"))):
        image = pydicom.dcmread(path)
        _fill(image, values, NAMES[number % 3])
        image.PatientID += str(number // SLICES)
        target = home / f"{planter('file')} {number}.dcm"
        tables.append((image.SOPInstanceUID, str(image.StudyInstanceUID)))
        _write(image, target, planter, number)
    _others(home, planter)
    return scans, _labels(folder / "labels.csv", tables, planter), planter


def _values(planter: Planter) -> Iterator[tuple[int, str, str]]:
    """Yield tag, VR and text of standard elements of every kind of text."""
    taken = 0
    for tag, (vr, vm, _, retired, keyword) in sorted(DicomDictionary.items()):
        text_only = vr in VRS and vm.startswith("1") and not retired
        if not text_only or tag >> 16 in (0x0002, 0x0004) or not keyword or taken >= STANDARD:
            continue
        if tag >> 16 not in (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040):
            continue
        taken += 1
        yield tag, vr, planter(keyword)


def _fill(image: Dataset, values: list[tuple[int, str, str]], name: str) -> None:
    for tag, vr, token in values:
        image.add_new(tag, vr, token)
    image.SpecificCharacterSet = {
        NAMES[0]: ["ISO 2022 IR 6", "ISO 2022 IR 87"], NAMES[1]: "ISO_IR 192",
        NAMES[2]: "ISO_IR 100",
    }[name]  # fmt: skip
    image.PatientName = f"{image.PatientName}^{name}"
    for keyword, date in DATES.items():
        setattr(image, keyword, date)


def _write(image: Dataset, target: Path, planter: Planter, number: int) -> None:
    """Write images with one special token each."""
    if number == 1:
        _private(image, planter)
    elif number == 2:
        _sequences(image, planter)
    elif number == 3:
        _overlays(image, planter)
    elif number == 4:
        _numbers(image, planter)
    elif number == 5:
        _jpeg(image, planter)
    elif number == 6:
        _report(image, planter)
    elif number == 7:
        image.Modality = "MR"
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    image.file_meta.SourceApplicationEntityTitle = planter("SourceApplicationEntityTitle")
    image.file_meta.PrivateInformationCreatorUID = "1.2.3"
    image.file_meta.PrivateInformation = planter("PrivateInformation").encode()
    image.preamble = planter("preamble").encode().ljust(128, b"\0")
    image.save_as(target, enforce_file_format=True)
    with target.open("ab") as file:
        file.write(planter("behind the data set").encode())
    if number == 8:
        target.write_bytes(target.read_bytes()[:-900])


def _private(image: Dataset, planter: Planter) -> None:
    for group in (0x0009, 0x0029, 0x0033, 0x7053):
        block = image.private_block(group, planter(f"creator {group:04x}"), create=True)
        for element, vr in enumerate(("LO", "PN", "UT", "OB", "UN"), 1):
            token = planter(f"private {group:04x} {vr}")
            block.add_new(element, vr, token if vr in VRS else token.encode() + b" ")


def _sequences(image: Dataset, planter: Planter) -> None:
    for keyword in (
        "OtherPatientIDsSequence", "RequestAttributesSequence", "ReferencedStudySequence",
        "ReferencedPatientSequence", "ProcedureCodeSequence", "OriginalAttributesSequence",
        "SourceImageSequence", "PerformedProtocolCodeSequence",
    ):  # fmt: skip
        inner, outer = Dataset(), Dataset()
        inner.PatientID, inner.PatientName = planter(f"{keyword} deep"), planter(f"{keyword} name")
        outer.PatientComments = planter(keyword)
        outer.ReferencedSeriesSequence = [inner]
        setattr(image, keyword, [outer])


def _overlays(image: Dataset, planter: Planter) -> None:
    for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x4000, "LT")):
        image.add_new(Tag(0x6000, element), vr, planter(f"overlay {element:04x}"))
    for element in (0x0022, 0x2500, 0x2600):
        image.add_new(Tag(0x5000, element), "LO", planter(f"curve {element:04x}"))
    image.add_new(Tag(0x2030, 0x0020), "LO", planter("TextString of a film box"))
    image.add_new(Tag(0x0070, 0x0006), "ST", planter("UnformattedTextValue"))
    image.DataSetTrailingPadding = planter("DataSetTrailingPadding").encode()


def _numbers(image: Dataset, planter: Planter) -> None:
    """Plant tokens in numeric elements: error messages must not quote them."""
    for keyword, vr in (
        ("RescaleSlope", "DS"), ("WindowCenter", "DS"), ("InstanceNumber", "IS"),
        ("PixelSpacing", "DS"), ("GantryDetectorTilt", "DS"), ("ImagePositionPatient", "DS"),
        ("ImageType", "CS"), ("NumberOfFrames", "IS"),
    ):  # fmt: skip
        if keyword not in image:
            image.add_new(Tag(keyword), vr, "1")
        image[keyword]._value = planter(f"{keyword} as text")  # past pydicom's checks


def _jpeg(image: Dataset, planter: Planter) -> None:
    grey = np.clip(image.pixel_array / 8, 0, 255).astype(np.uint8)
    stream = cv2.imencode(".jpg", grey)[1].tobytes()
    comment = planter("JPEG COM").encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.PixelData = encapsulate([stream[:2] + segment + stream[2:]])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0


def _report(image: Dataset, planter: Planter) -> None:
    del image.PixelData
    image.Modality, image.SOPClassUID = "SR", "1.2.840.10008.5.1.4.1.1.88.11"
    text, name = Dataset(), Dataset()
    text.ValueType, text.TextValue = "TEXT", planter("TextValue")
    name.ValueType, name.PersonName = "PNAME", planter("PersonName of an SR")
    name.add_new("ConceptCodeSequence", "SQ", [])
    image.ContentSequence = [text, name]
    image.VerifyingObserverName = planter("VerifyingObserverName")


def _others(home: Path, planter: Planter) -> None:
    """Write other files: a zip, an empty file, a text, a broken zip, a link."""
    some = next(home.glob("*.dcm")).read_bytes()
    with zipfile.ZipFile(home / f"{planter('zip')}.zip", "w") as archive:
        archive.comment = planter("zip comment").encode()
        info = zipfile.ZipInfo(f"{planter('member folder')}/{planter('member')}")
        info.comment = planter("member comment").encode()
        archive.writestr(info, some)
        archive.writestr(planter("member that is text"), planter("text in a zip"))
    (home / f"{planter('empty file')}.dcm").write_bytes(b"")
    (home / planter("text file")).write_text(planter("text in a file"))
    (home / f"{planter('broken zip')}.zip").write_bytes(b"PK\x03\x04" + b"x" * 90)
    (home / planter("dangling link")).symlink_to(home / planter("target of a link"))


def _labels(path: Path, slices: list[tuple[str, str]], planter: Planter) -> Path:
    """Write a label table with additional columns."""
    patient = [planter("label table: patient"), planter("label table: other patient")]
    header = [
        "sop_uid", "patient", "any", "epidural", "intraparenchymal", "intraventricular",
        "subarachnoid", "subdural", planter("label table: header"),
    ]  # fmt: skip
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(header)
    for number, (uid, _) in enumerate(slices):
        bleeds = number % 2
        remark = planter("label table: remark")
        writer.writerow([uid, patient[number // SLICES], bleeds, *[bleeds] * 5, remark])
    path.write_text(stream.getvalue())
    return path
