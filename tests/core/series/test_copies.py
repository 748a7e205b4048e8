"""Copies of slices: one counts, the others have a row that names it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.series import Scan, scan
from tests.support.dicom import DEFLATED, ct, enhanced, save, series, tissue


def rows(found: Scan) -> list[tuple[str, str]]:
    """Return status and reason of the refused files of the only series."""
    (only,) = found.series
    assert found.refused == ()
    return [(one.error.status, one.error.reason) for one in only.refused]


def test_copies_of_files_count_once(tmp_path: Path) -> None:
    first, second = series(tmp_path, [0, 5])
    for name in ("001 (1).dcm", "001 (2).dcm"):
        (tmp_path / name).write_bytes(first.read_bytes())
    found = scan([first, second, tmp_path])
    assert found.slices == 2
    assert rows(found) == [("skipped", f"a copy of {first}")] * 2
    assert found.series[0].notes == ()


def test_a_folder_beside_its_zip_counts_once(tmp_path: Path) -> None:
    files = series(tmp_path / "study", [0, 5])
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
    found = scan([tmp_path])
    assert found.slices == 2
    assert rows(found) == [("skipped", f"a copy of {path}") for path in files]


def test_a_copy_in_another_transfer_syntax_counts_once(tmp_path: Path) -> None:
    first = save(tmp_path / "a", ct())
    save(tmp_path / "b", ct(), DEFLATED)
    assert rows(scan([tmp_path])) == [("skipped", f"a copy of {first}")]


def test_frames_of_a_copy_have_a_row_each(tmp_path: Path) -> None:
    ds = enhanced(np.stack([tissue(), tissue(hu=50)]), [(0, 0, 0), (0, 0, 5)])
    first = save(tmp_path / "a", ds)
    save(tmp_path / "b", ds)
    found = scan([tmp_path])
    assert rows(found) == [("skipped", f"a copy of {first}")] * 2
    assert [one.id.frame for one in found.series[0].refused] == [1, 2]


@pytest.mark.parametrize(
    "other", [{"stored": tissue(hu=50)}, {"position": (0, 0, 5)}, {"SOPInstanceUID": "1.2.9"}]
)
def test_other_pixels_another_place_or_another_uid_is_no_copy(
    tmp_path: Path, other: dict[str, object]
) -> None:
    save(tmp_path / "a", ct())
    save(tmp_path / "b", ct(**other))  # type: ignore[arg-type]
    found = scan([tmp_path])
    assert found.slices == 2
    assert rows(found) == []
