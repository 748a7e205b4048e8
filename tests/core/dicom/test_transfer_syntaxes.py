"""Compressed transfer syntaxes: what goes in lossless comes out, and damage is output."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ich_cli.core.errors import BrokenFileError, InputError
from ich_cli.core.series import load, read_slices
from tests.support.codecs import LOSSLESS, rle
from tests.support.dicom import ct, encoded, enhanced, save, tissue
from tests.support.scans import refusal, slices_of_files


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("signed", [False, True])
def test_lossless(tmp_path: Path, syntax: str, signed: bool) -> None:
    image = tissue(hu=40, offset=0 if signed else 1024)
    stream = LOSSLESS[syntax](image & 0xFFFF)
    ds = ct(image, signed=signed, RescaleIntercept="0" if signed else "-1024")
    (one,) = read_slices(save(tmp_path / "a", ds, syntax, [stream]))
    assert (one.hu[0, 0], one.hu[16, 16]) == (-1000.0, 40.0)
    assert one.hu.min() == -1000.0
    assert one.notes == ()


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_frames_of_one_instance(tmp_path: Path, syntax: str) -> None:
    images = [tissue(hu=hu) for hu in (10, 20, 30)]
    ds = enhanced(np.stack(images), [(0, 0, 0), (0, 0, 5), (0, 0, 10)])
    path = save(tmp_path / "a", ds, syntax, [LOSSLESS[syntax](image) for image in images])
    assert [one.hu[16, 16] for one in read_slices(path)] == [10.0, 20.0, 30.0]


def test_twelve_bit_jpeg_extended_is_read_and_noted(tmp_path: Path) -> None:
    stream = imagecodecs.jpeg8_encode(tissue().astype(np.uint16), level=100, bitspersample=12)
    ds = ct(bits=12)
    (one,) = read_slices(save(tmp_path / "a", ds, "1.2.840.10008.1.2.4.51", [stream]))
    assert one.hu[16, 16] == pytest.approx(40, abs=8)
    assert "lossy compression" in one.notes


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_frame_cut_short_is_broken(tmp_path: Path, syntax: str, part: float) -> None:
    rng = np.random.default_rng(1)
    stream = LOSSLESS[syntax](rng.integers(0, 2000, (32, 32)))
    path = save(tmp_path / "a", ct(), syntax, [stream[: int(part * len(stream))]])
    assert isinstance(refusal(path), BrokenFileError)


@pytest.mark.parametrize("syntax", [key for key in LOSSLESS if not key.endswith(".5")])
def test_a_codestream_larger_than_rows_and_columns_is_not_decoded(
    tmp_path: Path, syntax: str
) -> None:
    path = save(tmp_path / "a", ct(), syntax, [LOSSLESS[syntax](tissue(side=64))])
    assert "is 64 x 64, but Rows x Columns is 32 x 32" in refusal(path).note


def test_native_bytes_under_a_compressed_syntax(tmp_path: Path) -> None:
    data = encoded(ct()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    (tmp_path / "a").write_bytes(data)
    assert "PixelData is not encapsulated" in refusal(tmp_path / "a").note


def test_an_encapsulated_frame_under_a_native_syntax(tmp_path: Path) -> None:
    data = encoded(ct(), "1.2.840.10008.1.2.5", [rle(tissue())])
    (tmp_path / "a").write_bytes(data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    assert "PixelData is encapsulated, but" in refusal(tmp_path / "a").note


def test_eight_bit_codestream_of_a_sixteen_bit_slice_is_refused(tmp_path: Path) -> None:
    stream = imagecodecs.jpeg8_encode((tissue() // 16).astype(np.uint8), level=95)
    error = refusal(save(tmp_path / "a", ct(), "1.2.840.10008.1.2.4.50", [stream]))
    assert "8 bits" in error.note


def test_the_same_slice_in_fourteen_syntaxes(shared_data: Path) -> None:
    refs = slices_of_files(shared_data / "dicom" / "transfer-syntaxes")
    assert len(refs) == 14
    sums, notes = {}, {}
    for ref in refs:
        try:
            one = load(ref)
        except InputError as error:
            notes[ref.format.syntax] = error.note
            continue
        sums.setdefault(float(one.hu.sum(dtype=np.float64)), []).append(ref.format.syntax)
    assert len(sums[-135912165.0]) == 10
    assert len(sums) == 4
    assert "32.1216 HU apart" in notes["1.2.840.10008.1.2.4.50"]


@pytest.mark.parametrize("syntax", [key for key in LOSSLESS if not key.endswith(".5")])
@pytest.mark.parametrize("padding", [1, 200, 5000])
def test_zeros_behind_the_end_marker_are_padding(tmp_path: Path, syntax: str, padding: int) -> None:
    stream = LOSSLESS[syntax](tissue()) + bytes(padding)
    (one,) = read_slices(save(tmp_path / "a", ct(), syntax, [stream]))
    assert (one.hu[0, 0], one.hu[16, 16], one.notes) == (-1000.0, 40.0, ())


@pytest.mark.parametrize("syntax", [key for key in LOSSLESS if not key.endswith(".5")])
def test_zeros_in_the_place_of_the_end_marker_are_damage(tmp_path: Path, syntax: str) -> None:
    stream = LOSSLESS[syntax](np.random.default_rng(1).integers(0, 2000, (32, 32)))
    path = save(tmp_path / "a", ct(), syntax, [stream[:-40] + bytes(200)])
    assert "ends before its end-of-image marker" in refusal(path).note


@pytest.mark.parametrize("syntax", [key for key in LOSSLESS if not key.endswith(".5")])
def test_padded_frames_in_several_fragments(tmp_path: Path, syntax: str) -> None:
    images = [tissue(hu=hu) for hu in (10, 20)]
    ds = enhanced(np.stack(images), [(0, 0, 0), (0, 0, 5)])
    streams = [LOSSLESS[syntax](image) + bytes(5000) for image in images]
    pieces = [part for one in streams for part in (one[:30], one[30:])]
    data = encoded(ds, syntax, streams)
    at = data.index(b"\xe0\x7f\x10\x00") + 12
    items = b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part
        for part in (b"", *(one + bytes(len(one) % 2) for one in pieces))
    )
    (tmp_path / "a").write_bytes(data[:at] + items + b"\xfe\xff\xdd\xe0" + bytes(4))
    assert [one.hu[16, 16] for one in read_slices(tmp_path / "a")] == [10.0, 20.0]
