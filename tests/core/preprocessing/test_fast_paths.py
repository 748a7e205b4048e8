"""What was made faster gives the same bits: as pydicom's, and as the plain way of saying it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale

from ich_cli.core.dicom import CTSlice, Rescale, SliceId, decode_frame, to_hounsfield
from ich_cli.core.dicom.decode import unpack
from ich_cli.core.imaging import BONE, BRAIN, SUBDURAL, largest_part, to_uint8
from ich_cli.core.imaging.windowing import apply_window
from ich_cli.core.preprocessing import PreprocessConfig, prepare
from ich_cli.core.series import SliceRef, load, scan
from ich_cli.core.study.slice_facts import BONE_HU, _enclosed
from ich_cli.core.system import malloc as allocator
from tests.support.dicom import BIG, EXPLICIT, IMPLICIT, ct, save, tissue

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
    stored = rng.integers(low, high, (32, 32), endpoint=True)
    dataset = ct(stored, bits=bits, signed=signed, RescaleSlope=slope, RescaleIntercept=intercept)
    path = save(tmp_path / "x.dcm", dataset, syntax)
    (ref,) = scan([path]).rows
    assert isinstance(ref, SliceRef)
    read = dcmread(path)
    expected = np.asarray(apply_rescale(read.pixel_array, read), np.float32)
    expected = np.where(expected < -1024, np.float32(-1000), np.minimum(expected, 32767))
    found = load(ref).hu
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@given(data=st.data(), kind=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", ">u2"]))
def test_bits_are_cut_out_as_the_standard_says(data: st.DataObject, kind: str) -> None:
    words = data.draw(hnp.arrays(kind, (16, 16)))
    most = 32 if words.itemsize == 4 else 16  # a codec may give bytes for 16 bits allocated
    bits = data.draw(st.integers(2, most))
    high = data.draw(st.integers(bits - 1, most - 1))
    signed = data.draw(st.booleans())
    fmt = replace(native_format(), signed=signed)
    plain = (words.astype(np.int64) >> (high + 1 - bits)) & ((1 << bits) - 1)  # PS3.5 8.1.1
    if signed:
        plain = np.where(plain >> (bits - 1), plain - (1 << bits), plain)
    np.testing.assert_array_equal(unpack(words, bits, high, fmt), plain)


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
    assert found.mended
    assert found.hu[0, 0] == -1000.0
    assert found.hu[8, 8] == 40.0


def test_inverted_bytes_do_not_overflow() -> None:
    fmt = replace(native_format(), inverted=True, bits_stored=12)
    found = to_hounsfield(np.full((16, 16), 200, np.uint8), fmt, Rescale(1.0, -1024.0))
    assert "MONOCHROME1" in found.notes[0]


def test_a_frame_that_needs_no_work_is_not_copied() -> None:
    data = tissue(side=16).astype("<u2").tobytes()
    found = decode_frame(data, native_format(), "x")
    assert found.dtype == np.uint16
    assert not found.flags.owndata


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(-3000, 3000, width=32))
)
def test_windows_leave_their_input_alone(hu: NDArray[np.float32]) -> None:
    before = hu.copy()
    for window in (BRAIN, SUBDURAL, BONE):
        low = np.float32(window.center - window.width / 2)
        plain = np.clip((hu - low) / np.float32(window.width), 0, 1)
        np.testing.assert_array_equal(apply_window(hu, window), plain)
        np.testing.assert_array_equal(
            to_uint8(hu, window), (plain * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        )
    np.testing.assert_array_equal(hu, before)


@pytest.mark.parametrize("size", [16, 64, 200])
def test_the_crop_before_the_window_is_the_window_before_the_crop(size: int) -> None:
    rng = np.random.default_rng(size)
    hu = np.full((120, 90), -1000, np.float32)
    hu[20:100, 10:70] = rng.normal(40, 200, (80, 60))
    pixels, placement = prepare(CTSlice(hu, SliceId("x")), PreprocessConfig(size=size))
    top, left, bottom, right = placement.box
    for plane, window in zip(pixels, (BRAIN, SUBDURAL, BONE), strict=True):
        square = np.zeros((placement.side, placement.side), np.uint8)
        row, column = top - placement.top, left - placement.left
        cut = to_uint8(hu, window)[top:bottom, left:right]
        square[row : row + bottom - top, column : column + right - left] = cut
        how = cv2.INTER_AREA if placement.side > size else cv2.INTER_LINEAR
        np.testing.assert_array_equal(plane, cv2.resize(square, (size, size), interpolation=how))


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 1)
    )
)
def test_the_largest_part_is_that_of_opencv(mask: NDArray[np.uint8]) -> None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = largest_part(mask)
    if count < 2:
        assert found is None
        return
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    assert found is not None
    np.testing.assert_array_equal(found, labels == best)
    assert cv2.boundingRect(found) == tuple(stats[best, :4])


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(40, 40), (41, 43), (37, 50)])
def test_bone_wins_a_coarse_pixel(shape: tuple[int, int], step: int) -> None:
    rng = np.random.default_rng(step)
    hu = np.where(rng.random(shape) < 0.02, BONE_HU + 1, 0).astype(np.float32)
    hu[4:-4, 4] = hu[4:-4, -5] = hu[4, 4:-4] = hu[-5, 4:-4] = 900
    rows, columns = -(-shape[0] // step), -(-shape[1] // step)
    bone = np.array(
        [
            [(hu[r * step : (r + 1) * step, c * step : (c + 1) * step] > BONE_HU).any()
             for c in range(columns)]
            for r in range(rows)
        ]
    )  # fmt: skip
    found = _enclosed(hu, step)
    assert found.shape == bone.shape
    assert found.any()
    assert not (found & bone).any()


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_freed_memory_is_kept() -> None:
    code = """
import resource, numpy as np
from ich_cli.core.allocator import keep_freed_memory
keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): np.ones(1 << 20, np.uint8)
before = faults()
for _ in range(50): np.ones(1 << 20, np.uint8)
print(faults() - before)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(told.stdout) < 50 * 256 / 4  # 256 pages each, were they given back


@pytest.mark.parametrize("key", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_who_sets_the_allocator_himself_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(allocator.ctypes, "CDLL", asked.append)
    monkeypatch.setenv(key, "1")
    allocator.keep_freed_memory.__wrapped__()
    assert not asked
