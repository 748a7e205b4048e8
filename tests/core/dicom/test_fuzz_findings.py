"""What the fuzzer found, each made again by code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ich_cli.core.errors import BrokenFileError
from ich_cli.core.series import load, scan
from tests.fuzz.targets import TARGETS, make
from tests.support.dicom import ct, encoded
from tests.support.scans import only_error, only_slice


def test_a_sequence_that_is_text(tmp_path: Path) -> None:
    """A functional group's sequence under a text VR: its letters were taken for items."""
    data = encoded(ct())
    at = data.index(b"\xe0\x7f\x10\x00OW")
    group = b"\x00\x52\x29\x92LO\x06\x00PLANTE"  # SharedFunctionalGroupsSequence
    (tmp_path / "a").write_bytes(data[:at] + group + data[at:])
    assert load(only_slice(tmp_path / "a")).hu[16, 16] == 40.0


@pytest.mark.parametrize("element", [b"\x20\x00\x0d\x00", b"\x20\x00\x0e\x00", b"\x28\x00\x53\x10"])
def test_an_element_whose_vr_is_none(tmp_path: Path, element: bytes) -> None:
    data = bytearray(encoded(ct()))
    at = data.index(element, 132)
    data[at + 4 : at + 6] = b"U\0"
    (tmp_path / "a").write_bytes(data)
    assert len(scan([tmp_path / "a"])) == 1


def test_a_member_without_a_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("NAMELESS", b"nothing")
        archive.writestr("a.dcm", encoded(ct()))
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"NAMELESS", b"\0AMELESS"))
    assert scan([tmp_path / "a.zip"]).slices == 1


def test_sequences_ten_thousand_deep(tmp_path: Path) -> None:
    data = encoded(ct())
    at = data.index(b"\xe0\x7f\x10\x00OW")
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    deep = (b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff" + item) * 10_000
    (tmp_path / "a").write_bytes(data[:at] + deep + data[at:])
    error = only_error(tmp_path / "a")
    assert isinstance(error, BrokenFileError)
    assert "RecursionError" in error.note


def test_a_short_run(tmp_path: Path) -> None:
    """A thousand inputs with a fixed seed; `python -m tests.fuzz` runs as many as one likes."""
    wrong = []
    for index in range(1000):
        name, data = make(0, index)
        if name == "bundle":
            continue  # builds models: in the long run only
        try:
            TARGETS[name][1](data, tmp_path)
        except Exception as error:
            wrong.append((index, name, repr(error)))
    assert wrong == []
