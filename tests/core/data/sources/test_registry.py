from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import pytest

from ich_cli.commands.preprocess import Source
from ich_cli.core.data import open_source
from ich_cli.core.data.sources.registry import SOURCES
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.phantom import write_studies
from tests.support.pipeline import invoke


def test_the_command_names_all_sources() -> None:
    assert sorted(get_args(Source)) == sorted(source.name for source in SOURCES)


def test_a_folder_of_no_known_layout_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    with pytest.raises(DataError, match="not the layout of a known data set"):
        open_source(None, [tmp_path / "scans"])


def test_without_a_path_there_is_nothing_to_recognise() -> None:
    with pytest.raises(UsageError, match="no data given"):
        open_source(None, [])


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    """Return a folder with two studies whose files have the same names."""
    write_studies(tmp_path / "phantoms", 2, 7, ("subdural",), size=64, slices=(6, 6))
    for number in (1, 2):
        target = tmp_path / "set" / f"patient{number}"
        target.mkdir(parents=True)
        files = sorted((tmp_path / "phantoms" / f"study-000{number}").glob("*.dcm"))
        for index, file in enumerate(files):
            shutil.copy(file, target / f"{index}.dcm")
    return tmp_path / "set"


def test_bare_names_in_two_folders_are_refused_with_the_first_five(two_folders: Path) -> None:
    rows = [f"{index}.dcm,1,0,0,0,0,1" for index in range(6)]
    header = "file,any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"
    (two_folders / "labels.csv").write_text("\n".join([header, *rows]))
    out = two_folders.parent / "out"
    result = invoke("preprocess", two_folders, "-o", out)
    assert result.exit_code == 1
    assert "6 rows of the label table fit several files (0, 1, 2, 3, 4, …)" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan,any\n0,1\n", "no column names the slice (columns: scan, any)"),
        ("file,bleed\n0,1\n", "no labels (columns: file, bleed)"),
        (
            "file,epidural,intraparenchymal,intraventricular,subarachnoid,subdural\n"
            "0,1,0,0,0,\n1,0,0,0,0,0\n2,,0,0,0,0\n",
            "labels are missing in 2 rows (lines 2, 4)",
        ),
        ("file,any,epidural,subdural\n0,1,1,0\n", "no labels (columns: file, any, epidural, sub"),
    ],
)
def test_wrong_tables_are_one_line_and_nothing_is_written(
    two_folders: Path, text: str, message: str
) -> None:
    (two_folders / "labels.csv").write_text(text)
    out = two_folders.parent / "out"
    result = invoke("preprocess", two_folders, "-o", out)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()
