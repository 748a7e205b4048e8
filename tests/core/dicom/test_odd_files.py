"""The table of odd files in docs/dicom.md is what the code does."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from tests.support import odd_files

ROWS = odd_files.DOCS.read_text("utf-8")


def test_every_file_of_pydicom_is_in_the_table() -> None:
    if f"pydicom {pydicom.__version__}:" not in ROWS:
        pytest.skip("the table was made with the files of another pydicom")
    rows = odd_files.pydicom_rows()
    assert len(rows) > 80
    assert [row for row in rows if row not in ROWS] == []


def test_every_transfer_syntax_is_in_the_table(shared_data: Path) -> None:
    rows = odd_files.syntax_rows()
    assert len(rows) == 14
    assert [row for row in rows if row not in ROWS] == []


def test_no_slice_of_another_kind_is_taken_for_ct() -> None:
    taken = [row for row in odd_files.pydicom_rows() if "| ok |" in row or "| repaired |" in row]
    names = [row.split(" ")[1] for row in taken]
    assert all("CT" in name or name.startswith(("693_", "J2K_")) for name in names), names
