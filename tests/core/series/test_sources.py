"""Where slices come from: folders, links, DICOMDIR media, zips, and hostile zips."""

from __future__ import annotations

import multiprocessing
import os
import stat
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom.data
import pytest

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.dicom.files.inflate import InflatingReader
from ich_cli.core.errors import (
    BrokenFileError,
    LimitError,
    NotApplicableError,
    NothingFoundError,
)
from ich_cli.core.series import Scan, load, read_slices, scan, scanning as finder
from ich_cli.core.system import AnonymousNames, worker_processes
from tests.support.dicom import DEFLATED, ct, encoded, enhanced, save, series, tissue
from tests.support.scans import all_slices, errors, only_error, only_slice, refusal


def statuses(found: Scan) -> dict[str, str]:
    names = {ref.source.name: "found" for ref in all_slices(found)}
    names |= {error.name: error.status for error in errors(found)}
    return {Path(name).name: status for name, status in names.items()}


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_every_file_of_a_folder_has_a_row(tmp_path: Path) -> None:
    series(tmp_path / "deep" / "er", [0, 5], ["IM0", "IM1"])
    for name in ("labels.csv", ".hidden", "README", "masks.npz"):
        (tmp_path / name).write_bytes(b"anything")
    zipped(tmp_path / "sheet.xlsx", {"xl/a.xml": b"<a/>", "b.xml": b"<b/>"})
    (tmp_path / "broken.dcm").write_text("text")
    assert statuses(scan([tmp_path])) == {
        ".hidden": "skipped",
        "README": "skipped",
        "IM0": "found",
        "IM1": "found",
        "labels.csv": "skipped",
        "masks.npz": "skipped",
        "sheet.xlsx": "skipped",
        "broken.dcm": "failed",
    }


def test_a_named_file_that_is_no_dicom_failed(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a,b")
    assert isinstance(only_error(tmp_path / "labels.csv"), BrokenFileError)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match="no-such"):
        scan([tmp_path / "no-such"])
    with pytest.raises(NothingFoundError, match="no file there"):
        scan([tmp_path])
    with pytest.raises(NothingFoundError):
        scan([])


def test_names_are_as_the_user_gave_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path / "scans", [0])
    monkeypatch.chdir(tmp_path)
    entry = only_slice(Path("scans"))
    assert entry.source.name == entry.id.path == os.path.join("scans", "001.dcm")  # noqa: PTH118


def test_overlapping_paths_give_each_file_once(tmp_path: Path) -> None:
    first, second = series(tmp_path, [0, 5])
    assert len(scan([second, tmp_path, first])) == 2


def test_progress_counts_files(tmp_path: Path) -> None:
    series(tmp_path, [0, 5])
    zipped(tmp_path / "more.zip", {"a": encoded(ct()), "b": b"text"})
    seen: list[int] = []
    scan([tmp_path], progress=seen.append)
    assert seen == [1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
def test_a_loop_of_links_is_a_row_for_each_link(tmp_path: Path) -> None:
    series(tmp_path, [0, 5])
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = scan([tmp_path])
    assert [len(one) for one in found.series] == [2]
    reason = "cannot be read: Too many levels of symbolic links"
    assert [one.error.reason for one in found.refused] == [reason, reason]


def test_links_and_pipes(tmp_path: Path) -> None:
    (real,) = series(tmp_path / "real", [0], ["IM0"])
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").symlink_to(real)
    (tree / "loop").symlink_to(tree)
    (tree / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tree / "pipe")
    found = statuses(scan([tree]))
    assert found == {"file": "found", "loop": "skipped", "gone": "failed", "pipe": "failed"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (path,) = series(tmp_path, [0])
    path.chmod(0)
    error = only_error(tmp_path)
    path.chmod(stat.S_IRUSR)
    assert isinstance(error, BrokenFileError)


def test_names_cannot_spoil_a_table(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"x\ny\x1b[2J\t.dcm": encoded(ct())})
    assert only_slice(path).source.name.isprintable()


def test_dicomdir_selects_its_folder() -> None:
    media = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
    found = scan([media / "DICOMDIR"])
    rows = statuses(found)
    assert rows["DICOMDIR"] == "skipped"
    assert len(found) > 30
    assert "found" in rows.values()


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    members = {
        f"dir/IM{at}": encoded(ct(tissue(hu=10 * at), position=(0, 0, 20 - at), instance=at))
        for at in (1, 2, 3)
    }
    up = encoded(ct(position=(0, 0, 30), instance=4))
    path = zipped(tmp_path / "a", {**members, "dir/README": b"text", "../../up": up})
    found = scan([path])
    refs = all_slices(found)
    assert [ref.source.name for ref in refs] == [
        f"{path}!{one}" for one in ("dir/IM3", "dir/IM2", "dir/IM1", "../../up")
    ]
    assert [(one.name, one.status) for one in errors(found)] == [(f"{path}!dir/README", "skipped")]
    assert [load(ref).hu[16, 16] for ref in refs] == [30.0, 20.0, 10.0, 40.0]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a"]


def test_a_zip_inside_a_zip_is_not_opened(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a": encoded(ct())}).read_bytes()
    found = scan([zipped(tmp_path / "outer.zip", {"inner.zip": inner, "b": encoded(ct())})])
    (error,) = errors(found)
    assert found.slices == 1
    assert isinstance(error, BrokenFileError)
    assert "a zip inside a zip" in str(error)


def test_a_zip_bomb_is_refused_alone(tmp_path: Path) -> None:
    bomb = encoded(ct()) + b"\0" * (8 << 20)
    path = zipped(tmp_path / "a.zip", {"bomb.dcm": bomb, "good": encoded(ct())})
    assert path.stat().st_size < 20_000
    found = scan([path])
    (bad,) = errors(found)
    assert found.slices == 1
    assert isinstance(bad, LimitError)
    assert "200 times" in bad.note


def test_inflating_counts_for_itself(tmp_path: Path) -> None:
    def pull(size: int) -> bytes:
        return b"\0" * size

    stream = InflatingReader(pull, "a.zip!bomb", 1 << 24, 1000, 200.0)
    assert stream.read(1 << 19) == b"\0" * (1 << 19)
    with pytest.raises(LimitError, match="200 times"):
        stream.seek(0, 2)
    endless = InflatingReader(pull, "a.zip!bomb", 1 << 21, 1 << 20, 200.0)
    with pytest.raises(LimitError, match="more than 2 MiB"):
        endless.read()


def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.dcm": encoded(ct())}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") - 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenFileError, match="damaged zip"):
        list(read_slices(path))


def test_a_deflated_bomb_is_refused(tmp_path: Path) -> None:
    ds = ct(np.zeros((4096, 4096), np.int64))
    path = save(tmp_path / "a", ds, DEFLATED)
    assert path.stat().st_size < 100_000
    assert isinstance(refusal(path), LimitError)
    assert "times its size" in refusal(path).note


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT_LIMITS, max_zip_entries=2),
        replace(DEFAULT_LIMITS, max_zip_bytes=4000),
    ],
)
def test_limits_of_the_zip_as_a_whole(tmp_path: Path, limits: Limits) -> None:
    path = zipped(tmp_path / "a.zip", {name: encoded(ct()) for name in "abc"})
    assert isinstance(only_error(path, limits), LimitError)


def test_a_zip_whose_directory_claims_gigabytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": encoded(ct())})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 0x7FFFFFFF)
    path.write_bytes(data)
    assert isinstance(only_error(path), LimitError)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.dcm": encoded(ct())})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    error = only_error(path)
    assert isinstance(error, BrokenFileError)
    assert error.note == "encrypted; unpack the zip first"


def test_a_damaged_zip_and_a_damaged_member(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": encoded(ct()), "b": encoded(ct(series="1.9"))})
    data = path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    assert isinstance(only_error(tmp_path / "cut.zip"), BrokenFileError)
    middle = bytearray(data)
    at = data.index(b"PK\x03\x04") + 40
    middle[at : at + 8] = b"\xff" * 8
    path.write_bytes(middle)
    found = scan([path])
    assert len(found) == 2
    assert any(load(ref).hu[16, 16] == 40.0 for ref in all_slices(found))


def test_a_zip_without_dicom(tmp_path: Path) -> None:
    error = only_error(zipped(tmp_path / "a.zip", {"a.txt": b"a", "b.txt": b"b"}))
    assert isinstance(error, BrokenFileError)
    assert "a zip without DICOM" in error.note
    (tmp_path / "sub").mkdir()
    zipped(tmp_path / "sub" / "m.npz", {"a.npy": b"a"})
    assert isinstance(only_error(tmp_path / "sub"), NotApplicableError)


def test_many_frames_in_a_zip_and_deflated(tmp_path: Path) -> None:
    stored = np.stack([tissue(hu=at) for at in range(20)])
    ds = enhanced(stored, [(0, 0, at) for at in range(20)])
    deflated = enhanced(stored, [(0, 0, at) for at in range(20)], SOPInstanceUID="1.2.9")
    path = zipped(tmp_path / "a.zip", {"m": encoded(ds), "d": encoded(deflated, DEFLATED)})
    values = [one.hu[16, 16] for one in read_slices(path)]
    assert values == [float(at) for at in range(20) for _ in "md"]


def test_a_numpy_archive_beside_the_slices_is_skipped_whole(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "masks.npz", masks=np.zeros((2000, 2000), np.uint8))
    error = only_error(tmp_path)
    assert isinstance(error, NotApplicableError)
    assert error.note == "not DICOM: a zip without DICOM"


@pytest.mark.slow
def test_many_files_are_read_in_parallel_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "_MANY", 3)
    monkeypatch.setattr(finder, "_PIECE", 2)
    for number in range(5):
        save(tmp_path / f"{number}", ct(InstanceNumber=number))
    (tmp_path / "5").write_bytes(b"no image")
    zipped(tmp_path / "6.zip", {"a": encoded(ct()), "b": b"none"})
    names = AnonymousNames("k" * 32)
    seen: list[int] = []
    with worker_processes(2) as pool:
        beside = scan([tmp_path], progress=seen.append, names=names, pool=pool)
    alone = scan([tmp_path], names=names)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert repr(beside) == repr(alone)
    assert len(beside) == 8


def dies_elsewhere(path: str) -> str:
    """Name a file, if this is the first process."""
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    return path


@pytest.mark.slow
def test_processes_that_are_killed_cost_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "_MANY", 1)
    monkeypatch.setattr(finder, "_PIECE", 1)
    for name in "ab":
        ds = [ct(SOPInstanceUID=f"1.{at}.{ord(name)}") for at in (1, 2)]
        zipped(tmp_path / f"{name}.zip", {"1": encoded(ds[0]), "2": encoded(ds[1])})
    with worker_processes(2) as pool:
        found = scan([tmp_path], names=dies_elsewhere, pool=pool)
    assert (found.slices, len(found)) == (4, 4)
