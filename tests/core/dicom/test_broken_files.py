"""Bad input: each file gives one typed error with a clear line, and never what it holds."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.errors import (
    BrokenFileError,
    DecoderError,
    InputError,
    LimitError,
    NotApplicableError,
)
from ich_cli.core.series import load, scan
from tests.support.dicom import EXPLICIT, IMPLICIT, ct, encoded, enhanced, put, save, tissue
from tests.support.scans import all_slices, errors, only_error, only_slice, refusal

SIDEWAYS = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.11"


DATASETS: list[tuple[str, Callable[[], Dataset], type[InputError], str]] = [
    ("mr", lambda: ct(Modality="MR"), NotApplicableError, "Modality is MR"),
    ("name", lambda: ct(Modality="SMITH"), NotApplicableError, "Modality is another one"),
    ("sr", lambda: ct(SOPClassUID=SR_CLASS), NotApplicableError, "Basic Text SR"),
    ("private", lambda: ct(SOPClassUID="1.3.46.1"), NotApplicableError, "private or unknown"),
    (
        "localizer",
        lambda: ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        NotApplicableError,
        "localizer",
    ),
    (
        "screen",
        lambda: ct(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        NotApplicableError,
        "screen capture",
    ),
    (
        "rgb",
        lambda: ct(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
        NotApplicableError,
        "colour",
    ),
    (
        "palette",
        lambda: ct(PhotometricInterpretation="PALETTE COLOR"),
        NotApplicableError,
        "colour",
    ),
    ("sagittal", lambda: ct(orientation=SIDEWAYS), NotApplicableError, "not axial"),
    ("iodine map", lambda: ct(RescaleType="MGML"), NotApplicableError, "RescaleType is not HU"),
    ("no pixels", lambda: ct(PixelData=None), BrokenFileError, "no PixelData"),
    ("rows 65535", lambda: ct(Rows=65535), LimitError, "Rows is 65535"),
    ("rows 0", lambda: ct(Rows=0), BrokenFileError, "Rows is 0"),
    ("no rows", lambda: ct(Rows=None), BrokenFileError, "Rows is missing"),
    ("columns 15", lambda: ct(Columns=15), BrokenFileError, "too small"),
    ("bits 12", lambda: ct(BitsAllocated=12), BrokenFileError, "BitsAllocated 12"),
    ("bits stored", lambda: ct(BitsStored=17), BrokenFileError, "BitsStored 17"),
    ("frames 0", lambda: ct(NumberOfFrames=0), BrokenFileError, "NumberOfFrames is 0"),
    ("a million frames", lambda: ct(NumberOfFrames=10**6), LimitError, "NumberOfFrames is 1e+06"),
    ("two frames", lambda: ct(NumberOfFrames=2), BrokenFileError, "2048 of 4096 bytes"),
    ("slope 0", lambda: ct(RescaleSlope="0"), BrokenFileError, "RescaleSlope is 0"),
    ("slope -1", lambda: ct(RescaleSlope="-1"), BrokenFileError, "RescaleSlope is -1"),
    (
        "few groups",
        lambda: enhanced(np.stack([tissue(), tissue()]), [(0, 0, 0)]),
        BrokenFileError,
        "fewer items than frames",
    ),
]


@pytest.mark.parametrize(
    ("make", "kind", "words"), [one[1:] for one in DATASETS], ids=[one[0] for one in DATASETS]
)
def test_refused(
    tmp_path: Path, make: Callable[[], Dataset], kind: type[InputError], words: str
) -> None:
    error = refusal(save(tmp_path / "scan.dcm", make()))
    assert type(error) is kind
    assert words in error.note
    assert str(tmp_path / "scan.dcm") in str(error)
    assert "PLANTED" not in str(error)
    assert "SMITH" not in str(error)
    assert "\n" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept", "NumberOfFrames"])
@pytest.mark.parametrize("text", ["one", "nan", "inf", "1_0", "DOE^JANE"])
def test_numbers_that_are_none(tmp_path: Path, keyword: str, text: str) -> None:
    error = refusal(save(tmp_path / "a", put(ct(), keyword, text), IMPLICIT))
    assert isinstance(error, BrokenFileError)
    assert keyword in error.note
    assert text not in error.note.replace(keyword, "")


def test_text_called_dcm(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_text("patient: DOE^JANE\n" * 50)
    error = refusal(path)
    assert error.note == "not DICOM; name DICOM files, folders or zips"
    assert error.status == "failed"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"")
    assert "an empty file" in refusal(tmp_path / "x.dcm").note


@pytest.mark.parametrize("left", [140, 400, 700, 1500, 2500])
def test_truncated_anywhere(tmp_path: Path, left: int) -> None:
    data = encoded(ct())
    path = tmp_path / "x.dcm"
    path.write_bytes(data[: min(left, len(data) - 2)])
    error = refusal(path)
    assert isinstance(error, BrokenFileError)
    assert "truncated" in error.note or "ends" in error.note or "cannot be read" in error.note


def test_an_unknown_transfer_syntax_is_named(tmp_path: Path) -> None:
    data = encoded(ct()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.7\0")
    (tmp_path / "a").write_bytes(data)
    error = refusal(tmp_path / "a")
    assert isinstance(error, DecoderError)
    assert "1.2.840.10008.1.2.7" in error.note
    assert "Explicit VR Little Endian" in error.note


def test_a_length_of_four_gigabytes_allocates_no_memory(tmp_path: Path) -> None:
    data = bytearray(encoded(put(ct(), "ImageType", "ORIGINAL\\PRIMARY\\AXIAL"), IMPLICIT))
    at = data.index(b"\x08\x00\x08\x00", 132)
    data[at + 4 : at + 8] = b"\xf0\xff\xff\xff"
    (tmp_path / "a").write_bytes(data)
    assert isinstance(refusal(tmp_path / "a"), BrokenFileError)


def test_a_header_over_the_limit(tmp_path: Path) -> None:
    ds = ct(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"] + ["X" * 16] * 500)
    path = save(tmp_path / "a", ds, IMPLICIT)
    limits = replace(DEFAULT_LIMITS, max_header_bytes=4096)
    assert isinstance(only_error(path, limits), LimitError)


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    path = save(tmp_path / "a", ct())
    limits = replace(DEFAULT_LIMITS, max_file_bytes=1000)
    assert isinstance(only_error(path, limits), LimitError)


def test_padding_behind_the_pixels_is_fine(tmp_path: Path) -> None:
    ds = ct()
    ds.PixelData += b"\0" * 512
    entry = only_slice(save(tmp_path / "a", ds))
    assert load(entry).hu[16, 16] == 40.0


def test_a_file_that_changed_after_the_scan(tmp_path: Path) -> None:
    entry = only_slice(save(tmp_path / "a", ct()))
    save(tmp_path / "a", ct(tissue(side=64)))
    with pytest.raises(BrokenFileError, match="changed"):
        load(entry)


def test_one_bad_frame_leaves_the_others(tmp_path: Path) -> None:
    stored = np.stack([tissue(), tissue()])
    ds = enhanced(stored, [(0, 0, 0), (0, 0, 5)], [("0", "-1024"), ("1", "-1024")])
    found = scan([save(tmp_path / "a", ds)])
    (good,), (bad,) = all_slices(found), errors(found)
    assert isinstance(bad, BrokenFileError)
    assert "frame 1: RescaleSlope is 0" in bad.note
    assert good.id.frame == 2


def test_a_secondary_capture_with_hu_is_read_and_noted(tmp_path: Path) -> None:
    entry = only_slice(save(tmp_path / "a", ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")))
    assert "secondary capture" in entry.notes


def test_contrast_is_noted_without_its_text(tmp_path: Path) -> None:
    entry = only_slice(save(tmp_path / "a", ct(ContrastBolusAgent="Omnipaque for DOE")))
    assert entry.notes == ("contrast agent given: iodine looks like blood",)
    plain = only_slice(save(tmp_path / "b", ct(ContrastBolusAgent="NONE")))
    assert plain.notes == ()


def test_nothing_of_the_patient_shows(tmp_path: Path) -> None:
    entry = only_slice(save(tmp_path / "a", ct()))
    assert entry.patient == "PLANTED-ID"
    assert "PLANTED" not in repr(entry)
    assert "PLANTED" not in repr(load(entry))


def test_a_data_set_without_preamble(tmp_path: Path) -> None:
    for syntax in (IMPLICIT, EXPLICIT):
        data = encoded(ct(), syntax)
        start = data.index(b"\x08\x00\x08\x00")
        (tmp_path / "bare").write_bytes(data[start:])
        entry = only_slice(tmp_path / "bare")
        assert load(entry).hu[16, 16] == 40.0
