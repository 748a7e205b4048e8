"""What `read_frames` says of a header, word for word: name, reason, remedy, UIDs, notes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from ich_cli.core.dicom import DEFAULT_LIMITS, Frame, Rescale, read_frames
from ich_cli.core.errors import BrokenFileError, InputError, NotApplicableError
from ich_cli.core.system import derived_uid
from tests.support.dicom import EXPLICIT, IMPLICIT, ct, encoded, enhanced, put, tissue

DICOMDIR = "1.2.840.10008.1.3.10"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
AGAIN = "export it again"


def read(ds: Dataset, syntax: str = EXPLICIT, cut: int | None = None) -> list[Frame | InputError]:
    data = encoded(ds, syntax)[:cut]
    return read_frames(io.BytesIO(data), len(data), "the file", DEFAULT_LIMITS)


def refusal(ds: Dataset, syntax: str = EXPLICIT, cut: int | None = None) -> InputError:
    try:
        (found,) = read(ds, syntax, cut)
    except InputError as error:
        return error
    assert isinstance(found, InputError)
    return found


def frame(ds: Dataset, syntax: str = EXPLICIT) -> Frame:
    (found,) = read(ds, syntax)
    assert isinstance(found, Frame)
    return found


def without_pixels(keyword: str) -> Dataset:
    ds = ct(PixelData=None)
    vr, kind = {"FloatPixelData": ("OF", "<f4"), "DoubleFloatPixelData": ("OD", "<f8")}[keyword]
    ds.add_new(keyword, vr, np.zeros((32, 32), kind).tobytes())
    return ds


def lut(**elements: object) -> Dataset:
    ds = ct(**elements)
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [1, 0, 16], "US"
    item.add_new("LUTData", "US", [0])
    ds.ModalityLUTSequence = Items([item])
    return ds


REFUSED: list[tuple[Callable[[], Dataset], type[InputError], str, str]] = [
    (
        lambda: ct(SOPClassUID=DICOMDIR),
        NotApplicableError, "DICOMDIR: its files are read from the folder", "",
    ),
    (
        lambda: ct(Modality=None, SOPClassUID=None),
        BrokenFileError, "not a DICOM image: no Modality and no SOPClassUID", "",
    ),
    (lambda: ct(Modality="MR"), NotApplicableError, "not CT: Modality is MR", ""),
    (
        lambda: ct(Modality="MR", SOPClassUID=None),
        NotApplicableError, "not CT: Modality is MR", "",
    ),
    (lambda: ct(Modality="SMITH"), NotApplicableError, "not CT: Modality is another one", ""),
    (
        lambda: ct(Modality=None, SOPClassUID=SECONDARY),
        NotApplicableError, "not CT: Modality is missing", "",
    ),
    (
        lambda: ct(SOPClassUID="1.3.46.1"),
        NotApplicableError, "SOPClassUID is a private or unknown one, not a CT image", "",
    ),
    (
        lambda: lut(RescaleSlope=None),
        NotApplicableError, "ModalityLUTSequence: its values are not HU", "",
    ),
    (
        lambda: without_pixels("FloatPixelData"),
        NotApplicableError, "FloatPixelData is not a CT image's", "",
    ),
    (
        lambda: without_pixels("DoubleFloatPixelData"),
        NotApplicableError, "DoubleFloatPixelData is not a CT image's", "",
    ),
    (lambda: ct(PixelData=None), BrokenFileError, "no PixelData in the file", ""),
    (lambda: ct(RescaleSlope="0"), BrokenFileError, "RescaleSlope is 0", AGAIN),
    (
        lambda: ct(RescaleSlope="1000001"),
        BrokenFileError, "RescaleSlope is not a usable number", AGAIN,
    ),
    (
        lambda: ct(RescaleIntercept="-1000001"),
        BrokenFileError, "RescaleIntercept is not a usable number", AGAIN,
    ),
    (
        lambda: enhanced(np.stack([tissue()] * 2), [(0, 0, 0)]),
        BrokenFileError, "PerFrameFunctionalGroupsSequence has fewer items than frames", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "reason", "remedy"), REFUSED)
def test_a_refusal_names_file_reason_remedy_and_instance(
    make: Callable[[], Dataset], kind: type[InputError], reason: str, remedy: str
) -> None:
    error = refusal(make())
    assert type(error) is kind
    assert (error.name, error.reason, error.remedy) == ("the file", reason, remedy)
    assert error.uids == ("1.2.3", "1.2.3.4", "1.2.3.4.1")


def test_a_lookup_table_beside_a_rescale_is_ignored() -> None:
    assert frame(lut()).rescale == Rescale(1.0, -1024.0)


def test_a_file_that_ends_before_its_pixels() -> None:
    data = encoded(ct())
    error = refusal(ct(), cut=data.index(b"\xe0\x7f\x10\x00") - 3)
    assert (error.name, error.reason) == ("the file", "the file ends before its PixelData")
    assert error.remedy == "copy it again"


def test_a_file_that_ends_before_its_sop_class() -> None:
    ds = ct(SOPClassUID=None)
    data = encoded(ds)
    error = refusal(ds, cut=data.index(b"\x08\x00\x60\x00") + 5)  # within Modality (0008,0060)
    assert (error.name, error.reason) == ("the file", "not a DICOM image: the file ends early")


def test_numbers_up_to_a_million_are_numbers() -> None:
    assert frame(ct(RescaleSlope="1000000", RescaleIntercept="-1000000")).rescale == Rescale(
        1e6, -1e6
    )


def two(rescales: list[tuple[str, str]], **elements: object) -> list[Frame | InputError]:
    return read(enhanced(np.stack([tissue()] * 2), [(0, 0, 0), (0, 0, 5)], rescales, **elements))


def test_each_frame_has_its_own_place_and_rescale() -> None:
    first, second = two([("1", "-1024"), ("2", "-2048")])
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.rescale, second.rescale) == (Rescale(1.0, -1024.0), Rescale(2.0, -2048.0))
    assert (first.geometry.position, second.geometry.position) == ((0, 0, 0), (0, 0, 5))
    assert [first.id.frame, second.id.frame] == [1, 2]


def test_one_bad_frame_is_reported_with_number_and_instance() -> None:
    good, bad = two([("1", "-1024"), ("1", "9e9")])
    assert isinstance(good, Frame)
    assert isinstance(bad, BrokenFileError)
    assert bad.note == "frame 2: RescaleIntercept is not a usable number; export it again"
    assert (bad.name, bad.uids) == ("the file", ("1.2.3", "1.2.3.4", "1.2.3.4.1"))


def test_where_no_frame_can_be_used_the_file_has_one_error() -> None:
    (error,) = two([("0", "0"), ("0", "0")])
    assert isinstance(error, BrokenFileError)
    assert error.note == "frame 1: RescaleSlope is 0; export it again"


def test_a_frame_type_can_be_a_localizer_too() -> None:
    ds = enhanced(np.stack([tissue()] * 2), [(0, 0, 0), (0, 0, 5)])
    item = Dataset()
    item.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.CTImageFrameTypeSequence = Items([item])
    (error,) = read(ds)
    assert isinstance(error, NotApplicableError)
    assert (error.name, error.note) == ("the file", "a localizer (FrameType), not an axial slice")


@pytest.mark.filterwarnings("ignore:The value length")  # it is meant to be too long
@pytest.mark.parametrize(
    ("uid", "kept"),
    [
        ("1.2.3.4.5", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("ID_0a1b2c3d4e", True),  # a pseudonym of RSNA 2019
        ("ID_0A1B2C3D4E", False),
        ("SMITH", False),
        ("1.2.SMITH", False),
        ("1.2.\u00b2", False),  # a small 2 above the line is a digit, but no UID's
        ("", True),
    ],
)
def test_only_a_uid_is_quoted_as_one(uid: str, kept: bool) -> None:
    ds = put(put(ct(), "StudyInstanceUID", uid), "SpecificCharacterSet", "ISO_IR 100")
    assert frame(ds, IMPLICIT).id.study_uid == (uid if kept else derived_uid(uid))


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-3", -3), ("2147483647", 2**31 - 1), ("2147483648", None), ("one", None)],
)
def test_instance_number_is_a_whole_number_of_32_bits(text: str, number: int | None) -> None:
    one = frame(put(ct(), "InstanceNumber", text), IMPLICIT)
    assert one.id.instance == number
    assert one.id == ("the file", 1, "1.2.3", "1.2.3.4", "1.2.3.4.1", number)


@pytest.mark.parametrize(
    ("elements", "notes"),
    [
        ({}, ()),
        ({"LossyImageCompression": "00"}, ()),
        ({"LossyImageCompression": "01"}, ("lossy compression",)),
        ({"BodyPartExamined": "HEAD"}, ()),
        ({"BodyPartExamined": "CHEST"}, ("BodyPartExamined is not the head",)),
        ({"ContrastBolusAgent": "none"}, ()),
        ({"ContrastBolusAgent": "X"}, ("contrast agent given: iodine looks like blood",)),
        (
            {"ContrastBolusAgentSequence": Items([Dataset()])},
            ("contrast agent given: iodine looks like blood",),
        ),
        ({"SOPClassUID": SECONDARY}, ("secondary capture",)),
        ({"SOPClassUID": SECONDARY + ".2"}, ("secondary capture",)),
    ],
)
def test_unusual_elements_are_noted(elements: dict[str, object], notes: tuple[str, ...]) -> None:
    assert frame(ct(**elements)).notes == notes


def test_a_file_may_have_any_size_when_it_is_not_known() -> None:
    data = encoded(ct())
    (found,) = read_frames(io.BytesIO(data), None, "the file", DEFAULT_LIMITS)
    assert isinstance(found, Frame)
    with pytest.raises(InputError, match="the file: Rows"):
        read_frames(io.BytesIO(data), len(data), "the file", replace(DEFAULT_LIMITS, max_side=31))


def test_a_frame_without_a_rescale_does_not_borrow_the_next_ones() -> None:
    ds = enhanced(
        np.stack([tissue()] * 2), [(0, 0, 0), (0, 0, 5)], [("1", "-1024"), ("2", "-2048")]
    )
    del ds.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence
    first, second = read(ds)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.rescale, second.rescale) == (Rescale(None, None), Rescale(2.0, -2048.0))


def test_pixels_that_end_early_are_seen_in_the_header_where_the_size_is_known() -> None:
    error = refusal(ct(), cut=-100)
    assert isinstance(error, BrokenFileError)
    assert (error.name, "1948 of 2048 bytes" in error.note) == ("the file", True)


def test_a_header_over_the_limit_names_the_file() -> None:
    data = encoded(ct(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"] + ["X" * 16] * 500), IMPLICIT)
    limits = replace(DEFAULT_LIMITS, max_header_bytes=4096)
    with pytest.raises(InputError, match=r"^the file: over "):
        read_frames(io.BytesIO(data), len(data), "the file", limits)
