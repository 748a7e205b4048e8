"""Stored values to HU: literal numbers, from the bytes of a file to float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ich_cli.core.dicom import CTSlice, PixelFormat, Rescale
from ich_cli.core.dicom.decode import unpack
from ich_cli.core.dicom.hounsfield import to_hounsfield
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.series import read_slices
from tests.support.dicom import BIG, DEFLATED, EXPLICIT, IMPLICIT, ct, enhanced, save, tissue


def read(path: Path) -> CTSlice:
    (one,) = read_slices(path)
    return one


def fmt(**changes: object) -> PixelFormat:
    values: dict[str, object] = {
        "rows": 16,
        "columns": 16,
        "bits_allocated": 16,
        "bits_stored": 16,
        "high_bit": 15,
        "signed": True,
        "frames": 1,
        "syntax": EXPLICIT,
        "big_endian": False,
        "inverted": False,
        "padding": None,
        "offset": 0,
        "length": 512,
    }
    return PixelFormat(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_stored_1024_is_water_in_every_native_syntax(tmp_path: Path, syntax: str) -> None:
    one = read(save(tmp_path / "a", ct(tissue(hu=0)), syntax))
    assert one.hu.dtype == np.float32
    assert one.hu[16, 16] == 0.0
    assert one.hu[0, 0] == -1000.0
    assert one.status == "ok"


def test_a_slope_that_is_no_whole_number_is_kept(tmp_path: Path) -> None:
    ds = ct(tissue(hu=40), RescaleSlope="0.5", RescaleIntercept="-1000.25")
    assert read(save(tmp_path / "a", ds)).hu[16, 16] == pytest.approx(1064 * 0.5 - 1000.25)


def test_twelve_bits_in_sixteen_keep_their_sign(tmp_path: Path) -> None:
    image = tissue(hu=40, offset=0)
    image[0, 0] = -2000  # GE's mark for outside the field of view
    image[0, 1] = -24
    masked = image & 0x0FFF  # the four bits above are zero, not the sign
    ds = ct(masked, signed=True, bits=12, RescaleIntercept="0")
    one = read(save(tmp_path / "a", ds))
    assert one.hu[0, :2].tolist() == [-1000.0, -24.0]
    assert one.hu[16, 16] == 40.0


def test_high_bit_moves_the_value_up() -> None:
    words = np.array([[0x0400 << 4 | 0xF]], np.uint16)  # 1024 in bits 4 to 15
    assert unpack(words, 12, 15, signed=False).item() == 1024


@given(st.integers(2, 16), st.data())
def test_unpacking_undoes_packing(bits: int, data: st.DataObject) -> None:
    high = data.draw(st.integers(bits - 1, 15))
    value = data.draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    junk = data.draw(st.integers(0, 0xFFFF))
    mask = ((1 << bits) - 1) << (high + 1 - bits)
    word = np.array([[(value << (high + 1 - bits)) & mask | junk & ~mask & 0xFFFF]], np.uint16)
    assert unpack(word, bits, high, signed=True).item() == value


def test_padding_becomes_air(tmp_path: Path) -> None:
    image = tissue(offset=0)
    image[0, :3] = (-3000, -2990, 3071)
    ds = ct(image, signed=True, RescaleIntercept="0")
    ds.add_new(0x00280120, "SS", -3000)
    ds.add_new(0x00280121, "SS", -2990)
    one = read(save(tmp_path / "a", ds))
    assert one.hu[0, :3].tolist() == [-1000.0, -1000.0, 3071.0]


def test_padding_that_would_eat_tissue_is_ignored(tmp_path: Path) -> None:
    ds = ct(tissue(hu=40, offset=0), signed=True, RescaleIntercept="0")
    ds.add_new(0x00280120, "SS", 40)
    one = read(save(tmp_path / "a", ds))
    assert one.hu[16, 16] == 40.0
    assert "PixelPaddingValue lies among tissue: ignored" in one.notes


def test_hu_stay_between_air_and_metal(tmp_path: Path) -> None:
    image = tissue(offset=0)
    image[0, :4] = (-1025, -1024, -2000, 3071)
    one = read(save(tmp_path / "a", ct(image, signed=True, RescaleIntercept="0")))
    assert one.hu[0, :4].tolist() == [-1000.0, -1024.0, -1000.0, 3071.0]


def test_monochrome1_is_turned_only_when_its_values_are_inverted(tmp_path: Path) -> None:
    flag = read(save(tmp_path / "a", ct(PhotometricInterpretation="MONOCHROME1")))
    assert flag.hu[16, 16] == 40.0
    assert flag.status == "ok"
    inverted = ct(65535 - tissue(), PhotometricInterpretation="MONOCHROME1")
    turned = read(save(tmp_path / "b", inverted))
    assert (turned.hu[16, 16], turned.hu[0, 0]) == (40.0, -1000.0)
    assert turned.status == "repaired"


def test_wrapped_hu_are_corrected_and_noted(tmp_path: Path) -> None:
    wrapped = tissue(hu=40, offset=0) % 4096  # air: -1000 -> 3096
    one = read(save(tmp_path / "a", ct(wrapped, bits=12, RescaleIntercept="0")))
    assert (one.hu[0, 0], one.hu[16, 16]) == (-1000.0, 40.0)
    assert one.status == "repaired"
    assert "wrapped" in one.notes[0]


def test_a_slice_cut_off_at_zero_is_not_unwrapped(tmp_path: Path) -> None:
    image = tissue(hu=40, air=0, offset=0)
    image[8, 8] = 3071  # one pixel of metal
    one = read(save(tmp_path / "a", ct(image, bits=12, RescaleIntercept="0")))
    assert (one.hu[0, 0], one.hu[8, 8], one.hu[16, 16]) == (0.0, 3071.0, 40.0)
    assert one.status == "ok"
    assert "no air in the slice: its HU may be off" in one.notes


def test_missing_rescale_is_filled_in_only_where_values_are_hu(tmp_path: Path) -> None:
    bare = {"RescaleSlope": None, "RescaleIntercept": None}
    one = read(save(tmp_path / "a", ct(tissue(offset=0), signed=True, **bare)))
    assert (one.hu[16, 16], one.status) == (40.0, "repaired")
    with pytest.raises(BrokenFileError, match="RescaleIntercept is missing"):
        read(save(tmp_path / "b", ct(**bare)))
    slopeless = read(save(tmp_path / "c", ct(RescaleSlope=None)))
    assert (slopeless.hu[16, 16], slopeless.status) == (40.0, "repaired")


def test_eight_bits_are_repaired_or_refused_by_their_step(tmp_path: Path) -> None:
    image = np.clip(tissue(offset=1000) // 4, 0, 255)
    fine = read(save(tmp_path / "a", ct(image, bits=8, RescaleSlope="4", RescaleIntercept="-1000")))
    assert (fine.hu[16, 16], fine.status) == (20.0, "repaired")
    coarse = ct(image, bits=8, RescaleSlope="32.1", RescaleIntercept="-4047")
    with pytest.raises(BrokenFileError, match=r"32\.1 HU apart"):
        read(save(tmp_path / "b", coarse))


def test_thirty_two_bits(tmp_path: Path) -> None:
    one = read(save(tmp_path / "a", ct(tissue(), bits=32)))
    assert one.hu[16, 16] == 40.0


def test_enhanced_ct_takes_each_frames_own_rescale_and_place(tmp_path: Path) -> None:
    stored = np.stack([tissue(hu=40), tissue(hu=60)])
    ds = enhanced(stored, [(0, 0, 5), (0, 0, 0)], [("1", "-1024"), ("1", "-1034")])
    slices = list(read_slices(save(tmp_path / "a", ds)))
    assert [one.id.frame for one in slices] == [2, 1]  # by height
    assert [one.hu[16, 16] for one in slices] == [50.0, 40.0]
    assert slices[0].geometry.position == (0.0, 0.0, 0.0)
    assert slices[0].geometry.spacing == (0.5, 0.5)
    assert slices[0].geometry.thickness == 5.0


def test_enhanced_ct_takes_a_shared_rescale(tmp_path: Path) -> None:
    ds = enhanced(np.stack([tissue(), tissue()]), [(0, 0, 0), (0, 0, 5)])
    assert [one.hu[16, 16] for one in read_slices(save(tmp_path / "a", ds))] == [40.0, 40.0]


@given(st.integers(-32768, 32767), st.sampled_from([0.5, 1.0, 2.0]), st.integers(-2000, 2000))
def test_hu_are_finite_float32_within_bounds(value: int, slope: float, intercept: int) -> None:
    stored = np.full((16, 16), value)
    stored[0] = int((-1000 - intercept) / slope)
    hu = to_hounsfield(stored, fmt(), Rescale(slope, float(intercept))).hu
    assert hu.dtype == np.float32
    assert -1024 <= hu.min() <= hu.max() <= 32767
    expected = value * slope + intercept
    if -1024 <= expected <= 32767:
        assert hu[5, 5] == np.float32(expected)
