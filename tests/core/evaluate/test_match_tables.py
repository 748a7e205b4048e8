from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.errors import DataError
from ich_cli.core.evaluate.match_tables import match

SIX = "any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_slices_match_by_uid_and_refused_ones_are_left_out(tmp_path: Path) -> None:
    predictions = write(
        tmp_path / "p.csv",
        f"path,frame,study_uid,sop_uid,{SIX},status",
        "a.dcm,1,9.1,1.1,0.9,0.8,0,0,0,0.95,ok",  # a subtype may exceed `any`
        "b.dcm,1,9.1,1.2,0.1,0,0,0,0,0,ok",
        "c.dcm,1,,,,,,,,,failed",
        "d.dcm,1,9.2,1.4,0.2,0,0,0,0,0,ok",
    )
    labels = write(tmp_path / "l.csv", f"sop_uid,{SIX}", "1.2,0,0,0,0,0,0", "1.1,1,1,0,0,0,0")
    found = match(predictions, labels)
    np.testing.assert_array_equal(found.labels[:, 0], [1, 0])
    np.testing.assert_array_equal(found.probabilities[0], [0.9, 0.8, 0, 0, 0, 0.95])
    assert (found.unlabelled, found.empty, found.grouped) == (1, 1, "study")
    assert found.patients.tolist() == [0, 0]  # one study


def test_rsna_ids_match_rsna_labels(tmp_path: Path) -> None:
    names = SIX.split(",")
    rows = [f"ID_{k}_{name}" for k in "ab" for name in names]
    predictions = write(tmp_path / "p.csv", "ID,Label", *(f"{row},0.25" for row in rows))
    labels = write(tmp_path / "l.csv", "ID,Label", *(f"{row},{int('a_' in row)}" for row in rows))
    found = match(predictions, labels)
    assert found.labels[:, 0].tolist() == [1, 0]
    assert (found.probabilities == 0.25).all()
    assert not found.grouped
    assert found.patients.tolist() == [0, 1]


def test_tables_without_a_shared_slice_are_an_error(tmp_path: Path) -> None:
    predictions = write(tmp_path / "p.csv", f"path,{SIX}", "a.dcm,0,0,0,0,0,0")
    labels = write(tmp_path / "l.csv", f"path,{SIX}", "b.dcm,0,0,0,0,0,0")
    with pytest.raises(DataError, match="check that identifiers match"):
        match(predictions, labels)


def test_unmatched_rows_are_counted(tmp_path: Path) -> None:
    predictions = write(
        tmp_path / "p.csv", f"path,{SIX}",
        "a.dcm,0.9,0,0,0,0,0", "a.dcm,0.8,0,0,0,0,0", "b.dcm,nan,0,0,0,0,0", "c.dcm,0,0,0,0,0,0",
    )  # fmt: skip
    labels = write(
        tmp_path / "l.csv", f"path,patient,{SIX}",
        "deep/a.dcm,P1,1,1,0,0,0,0", "deep/z.dcm,P2,0,0,0,0,0,0",
    )  # fmt: skip
    found = match(predictions, labels)
    assert found.probabilities[:, 0].tolist() == [0.9]
    counts = (found.repeated, found.contradicting, found.empty, found.unlabelled)
    assert counts == (1, 1, 1, 1)
    assert found.unpredicted == 1
    assert found.remarks("p.csv", "l.csv")[1] == (
        "1 rows of p.csv repeat a slice, 1 of them with other probabilities; the first row is used"
    )


def test_a_missing_score_in_the_long_layout_is_no_prediction(tmp_path: Path) -> None:
    names = SIX.split(",")
    rows = [f"ID_{k}_{name},{'nan' if k == 'b' else 0.5}" for k in "ab" for name in names]
    predictions = write(tmp_path / "p.csv", "ID,Label", *rows)
    labels = write(tmp_path / "l.csv", f"id,{SIX}", "ID_a,0,0,0,0,0,0", "ID_b,0,0,0,0,0,0")
    found = match(predictions, labels)
    assert (found.names, found.empty, found.unpredicted) == (("ID_a",), 1, 1)


def test_bare_names_that_fit_files_of_two_folders_are_refused(tmp_path: Path) -> None:
    rows = [f"{folder}/{k}.dcm,0.5,0.5,0.5,0.5,0.5,0.5" for folder in "ab" for k in range(6)]
    predictions = write(tmp_path / "p.csv", f"path,{SIX}", *rows)
    labels = write(tmp_path / "l.csv", f"id,{SIX}", *(f"{k},0,0,0,0,0,0" for k in range(6)))
    with pytest.raises(DataError, match=r"6 rows fit several files \(0.dcm, .*4.dcm, …\)"):
        match(predictions, labels)
