"""Headers that contradict their pixels: corrected if one reading gives a CT slice, else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ich_cli.core.dicom import CTSlice
from ich_cli.core.errors import BrokenFileError, InputError, NotApplicableError
from ich_cli.core.series import read_slices
from tests.support.codecs import LOSSLESS
from tests.support.dicom import IMPLICIT, ct, enhanced, put, save
from tests.support.scans import only_error, refusal as refusal_of


def head(side: int = 128) -> NDArray[np.int64]:
    """HU of a head with noise: air, skin, skull up to 1900 HU, brain, CSF around 0 HU."""
    rng = np.random.default_rng(5)
    hu = np.full((side, side), -1000.0)
    middle = (side // 2, side // 2)
    for radius, value in ((0.44, 40), (0.42, 1900), (0.37, 35), (0.1, 3)):
        cv2.circle(hu, middle, int(radius * side), value, -1)
    hu = cv2.GaussianBlur(hu, (0, 0), 1.0)
    return (hu + rng.normal(0, 6, hu.shape)).round().astype(np.int64)


def read(path: Path, ds: Dataset) -> CTSlice:
    (one,) = read_slices(save(path / "a.dcm", ds))
    return one


def refusal(path: Path, ds: Dataset) -> InputError:
    return refusal_of(save(path / "a.dcm", ds))


def native(words: NDArray[Any], **elements: Any) -> Dataset:
    """Return a slice with 16-bit words as they are, whatever the header says of them."""
    ds = ct(words, **elements)
    ds.BitsAllocated = 16
    ds.PixelData = (words & 0xFFFF).astype("<u2").tobytes()
    return ds


@pytest.mark.parametrize("bits", [13, 14, 15, 16])
@pytest.mark.parametrize("intercept", ["0", "-24"])
def test_signed_words_called_unsigned(tmp_path: Path, bits: int, intercept: str) -> None:
    words = (head() - int(intercept)) & ((1 << bits) - 1)
    one = read(tmp_path, native(words, bits=bits, RescaleIntercept=intercept))
    assert one.status == "repaired"
    assert one.notes[0] == "PixelRepresentation is 0: the words are signed"
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


def test_the_field_outside_called_unsigned(tmp_path: Path) -> None:
    words = head() + 1024
    words[:16] = -2000
    one = read(tmp_path, native(words))
    assert one.status == "repaired"
    assert (one.hu[0, 0], one.hu[64, 64], one.hu.max() < 2000) == (-1000.0, head()[64, 64], True)


def test_noise_of_air_below_zero_called_unsigned(tmp_path: Path) -> None:
    words = head() + 1000
    assert words.min() < 0
    one = read(tmp_path, native(words, RescaleIntercept="-1000"))
    assert (one.status, one.hu.max() < 2000) == ("repaired", True)


@pytest.mark.parametrize("syntax", [key for key in LOSSLESS if not key.endswith(".201")])
def test_signed_words_called_unsigned_in_a_codestream(tmp_path: Path, syntax: str) -> None:
    stream = LOSSLESS[syntax](head() & 0xFFFF)
    ds = ct(head(), RescaleIntercept="0")
    (one,) = read_slices(save(tmp_path / "a", ds, syntax, [stream]))
    assert one.status == "repaired"
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


def test_unsigned_words_called_signed(tmp_path: Path) -> None:
    """Bone over 1023 HU would be air."""
    one = read(tmp_path, native(head() + 1024, bits=12, signed=True))
    assert one.notes[0] == "PixelRepresentation is 1: the words are unsigned"
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


@pytest.mark.parametrize("bits", [8, 10, 11])
def test_too_few_bits_stored(tmp_path: Path, bits: int) -> None:
    one = read(tmp_path, native(head() + 1024, bits=bits))
    assert one.notes[0] == f"BitsStored is {bits}: the values have 16 bits"
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


def test_a_high_bit_above_the_values(tmp_path: Path) -> None:
    one = read(tmp_path, native(head() + 1024, bits=12, HighBit=15))
    assert one.notes[0] == "HighBit is 15: the values end at bit 11"
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


def test_words_in_the_other_byte_order(tmp_path: Path) -> None:
    one = read(tmp_path, native((head() + 1024).astype("<u2").byteswap()))
    assert one.notes[0] == "the words have the other byte order"
    assert one.hu[64, 64] == head()[64, 64]


def test_overlays_above_the_stored_bits_are_no_values(tmp_path: Path) -> None:
    words = head() + 1024
    words[40:44, 20:100] |= 0x1000
    one = read(tmp_path, native(words, bits=12))
    assert (one.status, one.notes) == ("ok", ())
    np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))


def test_dense_bone_and_metal_are_ok(tmp_path: Path) -> None:
    words = head() + 1024
    words[60:66, 60:66] = 30_000 + 1024
    one = read(tmp_path, native(words))
    assert (one.status, one.hu[62, 62]) == ("ok", 30_000.0)


@pytest.mark.parametrize(("slope", "intercept"), [("1", "-1024"), ("0.001", "0"), ("1", "-100000")])
def test_a_constant_picture(tmp_path: Path, slope: str, intercept: str) -> None:
    words = np.full((64, 64), 1064) if slope == "1" else head() + 1024
    error = refusal(tmp_path, native(words, RescaleSlope=slope, RescaleIntercept=intercept))
    assert isinstance(error, BrokenFileError)
    assert "all pixels have nearly the same value" in error.note


@pytest.mark.parametrize("share", [1.0, 0.6, 0.5])
def test_noise(tmp_path: Path, share: float) -> None:
    words = head() + 1024
    rows = int(share * 128)
    words[-rows:] = np.random.default_rng(1).integers(0, 4096, (rows, 128))
    error = refusal(tmp_path, native(words, bits=12))
    assert isinstance(error, BrokenFileError)
    assert "not a CT slice in HU: noise" in error.note


def test_a_lossless_jpeg_whose_predictions_overflowed(tmp_path: Path) -> None:
    """Predictor 6, Rb + (Ra - Rc) / 2, decoded with other overflows than it was encoded with."""
    words = (head() & 0xFFFF).astype(np.int64)
    wrong = words.copy()
    for row in range(1, 128):
        for column in range(1, 128):
            a, b, c = wrong[row, column - 1], wrong[row - 1, column], wrong[row - 1, column - 1]
            ta, tb, tc = words[row, column - 1], words[row - 1, column], words[row - 1, column - 1]
            difference = words[row, column] - (tb + (np.int16((ta - tc) & 0xFFFF) >> 1))
            wrong[row, column] = (difference + b + ((a - c) >> 1)) & 0xFFFF
    error = refusal(tmp_path, native(wrong, signed=True, RescaleIntercept="0"))
    assert isinstance(error, BrokenFileError)


def test_air_at_the_top_of_the_range(tmp_path: Path) -> None:
    words = np.where(head() < -500, 32767, head() + 1024)
    error = refusal(tmp_path, native(words))
    assert "of the pixels are over 3500 HU" in error.note


@pytest.mark.parametrize("slope", ["0", "-1", "one", "nan", "inf"])
def test_slopes_that_are_none(tmp_path: Path, slope: str) -> None:
    path = save(tmp_path / "a", put(ct(), "RescaleSlope", slope), IMPLICIT)
    error = only_error(path)
    assert isinstance(error, BrokenFileError)
    assert "RescaleSlope is" in error.note


@pytest.mark.parametrize("unit", ["US", "Hounsfield", "H.U.", "UNSPECIFIED"])
def test_hu_of_another_spelling_are_noted(tmp_path: Path, unit: str) -> None:
    one = read(tmp_path, native(head() + 1024, RescaleType=unit))
    assert (one.status, one.notes) == (
        "ok",
        ("RescaleType does not say HU: taken as HU, for air and soft tissue fit",),
    )
    assert one.hu[64, 64] == head()[64, 64]


def test_unspecified_values_that_are_no_hu_are_skipped(tmp_path: Path) -> None:
    iodine = np.clip(head(), 0, 60)
    error = refusal(tmp_path, native(iodine, RescaleType="US", RescaleIntercept="0"))
    assert isinstance(error, NotApplicableError)
    assert error.note == (
        "RescaleType is not HU, and air and soft tissue are not where HU have them"
    )


def test_unspecified_values_in_functional_groups(tmp_path: Path) -> None:
    stored = np.stack([head() * 2 + 2048, head() * 2 + 2048])
    ds = enhanced(stored, [(0, 0, 0), (0, 0, 5)], [("0.5", "-1024.0"), ("5.0E-1", "-1.024E3")])
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence[0].RescaleType = "US"
    for one in read_slices(save(tmp_path / "a", ds)):
        assert (one.status, len(one.notes)) == ("ok", 1)
        np.testing.assert_array_equal(one.hu, np.where(head() < -1024, -1000, head()))
