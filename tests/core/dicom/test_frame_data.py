"""Frames of encapsulated pixel data are where pydicom finds them, and are found once."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import get_frame

from ich_cli.core.dicom import frame_data
from ich_cli.core.dicom.elements import BoundedReader
from ich_cli.core.dicom.frame_data import frame_at, frame_starts
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.series import SliceRef, load, scan
from tests.support.dicom import encoded, enhanced, save, tissue
from tests.support.scans import all_slices

JPEG_LS = "1.2.840.10008.1.2.4.80"
FRAMES = [bytes([at]) * (10 + 2 * at) + b"\xff\xd9" for at in range(1, 8)]
HALVES = [(frame[:6], frame[6:]) for frame in FRAMES]


def item(data: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def encapsulated(fragments: Sequence[Sequence[bytes]], *, table: bool) -> bytes:
    """Return a Basic Offset Table (PS3.5 A.4), full or empty, and all fragments."""
    frames = [b"".join(map(item, one)) for one in fragments]
    starts = [sum(map(len, frames[:at])) for at in range(len(frames))]
    head = item(struct.pack(f"<{len(starts)}I", *starts) if table else b"")
    return head + b"".join(frames) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def bounded(data: bytes) -> BoundedReader:
    return BoundedReader(io.BytesIO(data), len(data), "x.dcm", 1 << 20)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("fragments", [[(one,) for one in FRAMES], HALVES, HALVES[:1] + HALVES])
def test_frames_are_those_that_pydicom_finds(
    fragments: Sequence[Sequence[bytes]], table: bool
) -> None:
    data = b"before" + encapsulated(fragments, table=table)
    file = bounded(data)
    file.seek(6)
    starts = frame_starts(file, len(fragments))
    assert len(starts) == len(fragments)
    for index, parts in enumerate(fragments):
        assert frame_at(file, starts, index) == b"".join(parts)
        buffer = io.BytesIO(data[6:])
        assert get_frame(buffer, index, number_of_frames=len(fragments)) == b"".join(parts)


def test_a_table_that_runs_backwards_is_refused() -> None:
    file = bounded(encapsulated([(one,) for one in FRAMES], table=True))
    with pytest.raises(ValueError, match="decrease"):
        frame_at(file, (80, 40, 60), 0)


def stack(path: Path, values: Sequence[int], table: bool = True) -> list[SliceRef]:
    """Write a multi-frame JPEG-LS file, one value of the tissue a frame, and scan it."""
    images = [tissue(hu=value).astype("uint16") for value in values]
    dataset = enhanced(np.stack(images), [(0.0, 0.0, float(z)) for z in range(len(values))])
    frames = [bytes(imagecodecs.jpegls_encode(image)) for image in images]
    data = encoded(dataset, JPEG_LS, frames)
    if not table:
        at = data.index(item(struct.pack(f"<{len(frames)}I", *_starts(frames))))
        data = data[:at] + item(b"") + data[at + 8 + 4 * len(frames) :]
    path.write_bytes(data)
    return all_slices(scan([path]))


def _starts(frames: Sequence[bytes]) -> list[int]:
    padded = [8 + len(frame) + len(frame) % 2 for frame in frames]
    return [sum(padded[:at]) for at in range(len(padded))]


@pytest.mark.parametrize("table", [True, False])
def test_frames_are_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: bool
) -> None:
    refs = stack(tmp_path / "x.dcm", range(10, 26), table)
    found, reads, real, read = [], [], frame_starts, BoundedReader.read

    def starts(file: BoundedReader, frames: int) -> tuple[int, ...]:
        found.append(frames)
        return real(file, frames)

    def counted(self: BoundedReader, size: int = -1) -> bytes:
        reads.append(size)
        return read(self, size)

    monkeypatch.setattr(frame_data, "frame_starts", starts)
    assert [load(ref).hu[16, 16] for ref in refs[:8]] == list(range(10, 18))
    monkeypatch.setattr(BoundedReader, "read", counted)
    assert [load(ref).hu[16, 16] for ref in refs[8:15]] == list(range(18, 25))
    assert found == [16]
    assert len(reads) == 7  # one per frame, not one per item before it


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    assert load(stack(path, range(10, 16))[3]).hu[16, 16] == 13
    before = path.stat().st_mtime_ns
    stack(path, [-500, 900, 60, 70, 80, 90])
    os.utime(path, ns=(before + 10**9, before + 10**9))
    refs = all_slices(scan([path]))
    assert [load(ref).hu[16, 16] for ref in refs] == [-500, 900, 60, 70, 80, 90]


def test_fewer_frames_than_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    stack(path, range(10, 16))
    frames = [bytes(imagecodecs.jpegls_encode(tissue(hu=9).astype("uint16")))] * 4
    dataset = enhanced(np.stack([tissue()] * 6), [(0.0, 0.0, float(z)) for z in range(6)])
    save(path, dataset, JPEG_LS, frames)
    refs = all_slices(scan([path]))
    assert load(refs[3]).hu[16, 16] == 9
    with pytest.raises(BrokenFileError, match="PixelData is damaged"):
        load(refs[4])
