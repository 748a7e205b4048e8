"""Stored values and HU equal those of pydicom and of double-precision arithmetic, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale

from ich_cli.core.dicom import Rescale
from ich_cli.core.dicom.decode import decode_words, unpack
from ich_cli.core.dicom.hounsfield import to_hounsfield
from ich_cli.core.series import load
from tests.support.dicom import BIG, EXPLICIT, IMPLICIT, ct, save, tissue
from tests.support.scans import only_slice

SYNTAXES = (EXPLICIT, IMPLICIT, BIG)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("bits", "signed", "slope", "intercept"),
    [
        (16, False, "1", "-1024"),
        (16, True, "1", "0"),
        (16, True, "2", "-24"),
        (16, False, "0.5", "-1000.25"),
        (12, False, "1", "-1024"),
        (12, True, "1", "0"),
        (14, False, "1.000001", "-1024"),
    ],
)
def test_uncompressed_hu_are_those_of_pydicom(
    tmp_path: Path, syntax: str, bits: int, signed: bool, slope: str, intercept: str
) -> None:
    rng = np.random.default_rng(bits)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    low = max(low, int((-2000 - float(intercept)) / float(slope)))
    high = min(high, int((3400 - float(intercept)) / float(slope)))
    stored = np.sort(rng.integers(low, high, 32 * 32, endpoint=True)).reshape(32, 32)
    dataset = ct(stored, bits=bits, signed=signed, RescaleSlope=slope, RescaleIntercept=intercept)
    path = save(tmp_path / "x.dcm", dataset, syntax)
    read = dcmread(path)
    expected = np.asarray(apply_rescale(read.pixel_array, read), np.float32)
    expected = np.where(expected < -1024, np.float32(-1000), np.minimum(expected, 32767))
    found = load(only_slice(path)).hu
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@given(data=st.data(), kind=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", ">u2"]))
def test_bits_are_extracted_as_in_the_standard(data: st.DataObject, kind: str) -> None:
    words = data.draw(hnp.arrays(kind, (16, 16)))
    most = 32 if words.itemsize == 4 else 16  # a codec may give bytes for 16 bits allocated
    bits = data.draw(st.integers(2, most))
    high = data.draw(st.integers(bits - 1, most - 1))
    signed = data.draw(st.booleans())
    plain = (words.astype(np.int64) >> (high + 1 - bits)) & ((1 << bits) - 1)  # PS3.5 8.1.1
    if signed:
        plain = np.where(plain >> (bits - 1), plain - (1 << bits), plain)
    np.testing.assert_array_equal(unpack(words, bits, high, signed=signed), plain)


def native_format() -> Any:
    from ich_cli.core.dicom import PixelFormat

    return PixelFormat(
        rows=16, columns=16, bits_allocated=16, bits_stored=16, high_bit=15, signed=False,
        frames=1, syntax=EXPLICIT, big_endian=False, inverted=False, padding=None, offset=0,
        length=512,
    )  # fmt: skip


@given(
    stored=hnp.arrays(st.sampled_from(["i2", "u2", "u1", "i4"]), (16, 16)),
    slope=st.sampled_from([1.0, 2.0, 3.0, 0.5, 1.0000001, 3.999]),
    intercept=st.one_of(st.integers(-(10**6), 10**6).map(float), st.floats(-1e6, 1e6)),
)
def test_hu_are_the_double_precision_ones_rounded(
    stored: NDArray[Any], slope: float, intercept: float
) -> None:
    fmt = replace(native_format(), signed=True)
    exact = stored.astype(np.float64) * slope + intercept
    expected = np.clip(exact, -1e6, 1e6).astype(np.float32)
    expected = np.where(expected < -1024, np.float32(-1000), np.minimum(expected, 32767))
    before = stored.copy()
    np.testing.assert_array_equal(
        to_hounsfield(stored, fmt, Rescale(slope, intercept)).hu, expected
    )
    np.testing.assert_array_equal(stored, before)


def test_what_is_unwrapped_in_bytes_does_not_overflow() -> None:
    fmt = replace(native_format(), bits_stored=12, high_bit=11)
    stored = np.zeros((16, 16), np.uint16)
    stored[:4] = 3096  # air, -1000, modulo 4096
    stored[4:] = 40
    found = to_hounsfield(stored, fmt, Rescale(1.0, 0.0))
    assert found.repairs
    assert found.hu[0, 0] == -1000.0
    assert found.hu[8, 8] == 40.0


def test_inverted_bytes_do_not_overflow() -> None:
    fmt = replace(native_format(), inverted=True, bits_stored=12)
    found = to_hounsfield(np.full((16, 16), 200, np.uint8), fmt, Rescale(1.0, -1024.0))
    assert "MONOCHROME1" in found.notes[0]


def test_a_frame_that_needs_no_work_is_not_copied() -> None:
    data = tissue(side=16).astype("<u2").tobytes()
    found = decode_words(data, native_format(), "x").values
    assert found.dtype == np.uint16
    assert not found.flags.owndata
