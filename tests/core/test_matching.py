from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.errors import DataError
from ich_cli.core.matching import match

SIX = "any,epidural,intraparenchymal,intraventricular,subarachnoid,subdural"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_slices_are_matched_by_uid_and_refused_ones_left_out(tmp_path: Path) -> None:
    predictions = write(
        tmp_path / "p.csv",
        f"path,frame,study_uid,sop_uid,{SIX},status",
        "a.dcm,1,9.1,1.1,0.9,0.8,0,0,0,0.95,ok",  # a subtype may be surer than `any`
        "b.dcm,1,9.1,1.2,0.1,0,0,0,0,0,ok",
        "c.dcm,1,,,,,,,,,failed",
        "d.dcm,1,9.2,1.4,0.2,0,0,0,0,0,ok",
    )
    labels = write(tmp_path / "l.csv", f"sop_uid,{SIX}", "1.2,0,0,0,0,0,0", "1.1,1,1,0,0,0,0")
    found = match(predictions, labels)
    np.testing.assert_array_equal(found.labels[:, 0], [1, 0])
    np.testing.assert_array_equal(found.probabilities[0], [0.9, 0.8, 0, 0, 0, 0.95])
    assert (found.unmatched, found.grouped) == (1, True)
    assert found.groups.tolist() == [0, 0]  # one study


def test_rsna_ids_match_rsna_labels(tmp_path: Path) -> None:
    names = SIX.split(",")
    rows = [f"ID_{k}_{name}" for k in "ab" for name in names]
    predictions = write(tmp_path / "p.csv", "ID,Label", *(f"{row},0.25" for row in rows))
    labels = write(tmp_path / "l.csv", "ID,Label", *(f"{row},{int('a_' in row)}" for row in rows))
    found = match(predictions, labels)
    assert found.labels[:, 0].tolist() == [1, 0]
    assert (found.probabilities == 0.25).all()
    assert not found.grouped
    assert found.groups.tolist() == [0, 1]


def test_tables_without_a_slice_in_common_are_told(tmp_path: Path) -> None:
    predictions = write(tmp_path / "p.csv", f"path,{SIX}", "a.dcm,0,0,0,0,0,0")
    labels = write(tmp_path / "l.csv", f"path,{SIX}", "b.dcm,0,0,0,0,0,0")
    with pytest.raises(DataError, match="how are they called"):
        match(predictions, labels)
