"""Tars and compressed tars are read as zips are."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.dicom.files.tar_archive import GzipReader
from ich_cli.core.series import load, scan
from tests.support.dicom import ct, encoded, tissue
from tests.support.scans import all_slices, errors, only_error


def pack(path: Path, mode: str, extra: tuple[tarfile.TarInfo, ...] = (), count: int = 4) -> Path:
    with tarfile.open(path, mode) as archive:
        for at in reversed(range(count)):
            data = encoded(ct(tissue(hu=at), position=(0, 0, 5 * at), instance=at + 1))
            info = tarfile.TarInfo(f"head/s{at}.dcm")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_slices(tmp_path: Path, mode: str) -> None:
    found = scan([pack(tmp_path / "x", mode)])
    assert errors(found) == []
    refs = all_slices(found)
    assert [ref.source.name for ref in refs] == [f"{tmp_path}/x!head/s{at}.dcm" for at in range(4)]
    assert [load(ref).hu[16, 16] for ref in reversed(refs)] == [3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_and_devices_are_skipped(tmp_path: Path, mode: str) -> None:
    link, device = tarfile.TarInfo("a"), tarfile.TarInfo("b")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.CHRTYPE
    found = scan([pack(tmp_path / "x", mode, (link, device))])
    assert len(all_slices(found)) == 4
    assert [one.note for one in errors(found)] == ["a link or device in a tar: not followed"] * 2


def test_a_damaged_tar_keeps_the_members_before(tmp_path: Path) -> None:
    path = pack(tmp_path / "x", "w")
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        at = archive.getmembers()[2].offset
    data[at : at + 100] = b"\xff" * 100
    path.write_bytes(data)
    found = scan([path])
    assert len(all_slices(found)) == 2
    assert ["damaged tar" in one.note for one in errors(found)] == [True]


def test_a_compressed_tar_cut_short_has_an_error(tmp_path: Path) -> None:
    path = pack(tmp_path / "x", "w:gz")
    path.write_bytes(path.read_bytes()[:-400])
    assert errors(scan([path]))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with tarfile.open(pack(tmp_path / "x", "w:gz", count=1), "r:gz") as archive:
        (info,) = archive.getmembers()
        file = archive.extractfile(info)
        assert file is not None
        data = file.read()
    with tarfile.open(tmp_path / "x", "w:gz") as archive:
        archive.addfile(info, io.BytesIO(data))
        zeros = tarfile.TarInfo("zeros.dcm")
        zeros.size = 1 << 24
        archive.addfile(zeros, io.BytesIO(bytes(1 << 24)))
    found = scan([tmp_path / "x"])
    assert len(all_slices(found)) == 1
    assert errors(found)[-1].note == "unpacks to over 200 times its size"


def test_limits_bound_members(tmp_path: Path) -> None:
    path = pack(tmp_path / "x", "w")
    found = scan([path], replace(DEFAULT_LIMITS, max_zip_entries=2))
    assert "over 2 members" in errors(found)[-1].note


def test_a_tar_inside_a_tar_is_named(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner", "w").read_bytes()
    with tarfile.open(pack(tmp_path / "x", "w"), "a") as archive:
        info = tarfile.TarInfo("inner.tar")
        info.size = len(inner)
        archive.addfile(info, io.BytesIO(inner))
    (error,) = errors(scan([tmp_path / "x"]))
    assert error.note == "a tar inside an archive is not opened; unpack it first"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "a rar archive"),
        (b"\xfd7zXZ\0", "an xz file"),
    ],
)
def test_other_archives_are_named(tmp_path: Path, head: bytes, kind: str) -> None:
    (tmp_path / "x").write_bytes(head + bytes(1000))
    assert only_error(tmp_path / "x").note == f"not DICOM: {kind}; unpack it first"


def test_a_gzip_file_is_read_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ich_cli.core.dicom.files.tar_archive._CHECKPOINT", 1 << 16)
    data = random.Random(1).randbytes(3_000_000)
    reader = GzipReader(io.BytesIO(gzip.compress(data)), "x", DEFAULT_LIMITS)
    for at in (2_900_000, 10, 1_500_000, 0, 2_999_990):
        reader.seek(at)
        assert reader.read(100) == data[at : at + 100]
