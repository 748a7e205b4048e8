from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.data import find_labels, read_labels
from ich_cli.core.errors import DataError

NAMES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rsna(key: str, positive: tuple[str, ...]) -> str:
    return "".join(f"ID_{key}_{name},{int(name in positive)}\n" for name in NAMES)


def test_rsna_long_rows_become_six_labels_in_order(tmp_path: Path) -> None:
    text = "ID,Label\n" + rsna("aa", ("subdural", "any")) + rsna("bb", ())
    assert read_labels(write(tmp_path, text)) == {
        "ID_aa": (1, 0, 0, 0, 0, 1),
        "ID_bb": (0, 0, 0, 0, 0, 0),
    }


def test_repeated_rsna_rows_are_merged(tmp_path: Path) -> None:
    block = rsna("aa", ("epidural", "any"))
    assert read_labels(write(tmp_path, "ID,Label\n" + block + block)) == {
        "ID_aa": (1, 1, 0, 0, 0, 0)
    }


def test_contradicting_rows_are_refused(tmp_path: Path) -> None:
    text = "ID,Label\n" + rsna("aa", ()) + "ID_aa_epidural,1\n"
    with pytest.raises(DataError, match="line 8: this slice has two different labels for epidural"):
        read_labels(write(tmp_path, text))


def test_rows_per_file_and_subtype_get_any_as_maximum(tmp_path: Path) -> None:
    text = "file,subtype,label\n" + "".join(
        f"x.dcm,{name},{int(name == 'subarachnoid')}\n" for name in NAMES[:5]
    )
    assert read_labels(write(tmp_path, text)) == {"x": (1, 0, 0, 0, 1, 0)}


def test_a_list_without_values_names_positive_subtypes(tmp_path: Path) -> None:
    text = "ID,Subtype\na,epidural\na,Subdural\nb,normal\n"
    assert read_labels(write(tmp_path, text)) == {"a": (1, 1, 0, 0, 0, 1), "b": (0,) * 6}


def test_a_missing_subtype_is_refused(tmp_path: Path) -> None:
    text = "ID,Label\nID_a_epidural,1\n"
    with pytest.raises(DataError, match=r"1 slices have no row for some of the subtypes \(ID_a\)"):
        read_labels(write(tmp_path, text))


def test_wide_tables_keep_soft_labels_and_are_found_by_path_or_uid(tmp_path: Path) -> None:
    header = "path,sop_uid,epidural,intraparenchymal,intraventricular,subarachnoid,subdural\n"
    table = read_labels(write(tmp_path, header + "s1/a.dcm,1.2.3,0,0.25,0,0,0\n"))
    expected = (0.25, 0, 0.25, 0, 0, 0)
    assert find_labels(table, "1.2.3", "elsewhere") == expected
    assert find_labels(table, "", "/data/s1/a.dcm") == expected
    assert find_labels(table, "", "/data/s2/a.dcm") is None


def test_a_frame_column_separates_frames(tmp_path: Path) -> None:
    header = "sop_uid,frame,epidural,intraparenchymal,intraventricular,subarachnoid,subdural\n"
    table = read_labels(write(tmp_path, header + "1.2,1,0,0,0,0,0\n1.2,2,1,0,0,0,0\n"))
    assert find_labels(table, "1.2", "x", 1) == (0,) * 6
    assert find_labels(table, "1.2", "x", 2) == (1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column names the slice"),
        ("id,foo\n1,2\n", "no labels"),
        ("ID,Label\nID_a_epidural,maybe\n", "line 2: a label is not a number"),
        ("ID,Label\nID_a_epidural,2\n", "must be between 0 and 1"),
        ("ID,Label\nID_a_tumour,1\n", "line 2: unknown label"),
        (
            "id,any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural\na,0,1,0,0,0,0\n",
            "`any` is lower than a subtype",
        ),
    ],
)
def test_invalid_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path, text))


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_semicolons_and_tabs_separate_cells_too(tmp_path: Path, delimiter: str) -> None:
    text = "ID,Label\n\n" + rsna("aa", ("subdural", "any"))
    path = write(tmp_path, text.replace(",", delimiter))
    assert read_labels(path) == {"ID_aa": (1, 0, 0, 0, 0, 1)}


def test_blank_lines_count_in_line_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4: a label is not a number"):
        read_labels(write(tmp_path, "ID,Label\n\nID_a_epidural,1\nID_a_subdural,maybe\n"))
