from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.data import open_source, prepare_dataset
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.phantom import write_studies
from ich_cli.core.preprocessing import PreprocessConfig


def test_dicom_with_a_table_is_prepared_in_order_without_the_patients_id(tmp_path: Path) -> None:
    write_studies(tmp_path / "dicom", 2, 5, ("subdural",), size=64)
    series, info = open_source("folder", [tmp_path / "dicom"])
    series = [one for one in series if one.name != "unreadable"]  # the table, the masks
    assert len(series) == 2
    data = prepare_dataset(series, tmp_path / "out", PreprocessConfig(size=32), info)
    assert data.about["patients"] == 2
    assert data.about["labels"]["subdural"]["patients"] == 2
    assert [r.position for r in data.rows if r.patient == 0] == list(
        range(int((data.patients == 0).sum()))
    )
    written = "".join(p.read_text() for p in (tmp_path / "out").glob("*.*s*") if p.suffix != ".npy")
    for one in series:
        assert one.patient()
        assert one.patient() not in written


def test_dicom_without_a_table_is_refused_with_a_remedy(tmp_path: Path) -> None:
    write_studies(tmp_path / "dicom", 1, 5, (), size=64)
    (tmp_path / "dicom" / "labels.csv").unlink()
    with pytest.raises(DataError, match="--labels"):
        open_source("rsna", [tmp_path / "dicom"])


def test_dicom_without_a_table_may_be_prepared_as_unlabelled(tmp_path: Path) -> None:
    write_studies(tmp_path / "dicom", 1, 5, (), size=64)
    table = tmp_path / "dicom" / "labels.csv"
    with pytest.raises(UsageError, match="--source folder"):
        open_source("unlabelled", [tmp_path / "dicom"], table)
    table.unlink()
    with pytest.raises(DataError, match="--source unlabelled"):
        open_source("folder", [tmp_path / "dicom"])
    series, info = open_source("unlabelled", [tmp_path / "dicom"])
    data = prepare_dataset(series, tmp_path / "out", PreprocessConfig(size=32), info)
    assert len(data) > 0
    assert not data.labelled
    assert all(str(label) == "nan" for row in data.rows for label in row.labels)


def test_a_table_of_other_slices_is_refused(tmp_path: Path) -> None:
    write_studies(tmp_path / "dicom", 1, 5, (), size=64)
    table = tmp_path / "other.csv"
    names = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
    table.write_text("id," + ",".join(names) + "\nx,0,0,0,0,0\n")
    with pytest.raises(DataError, match="no slice has a row"):
        open_source("folder", [tmp_path / "dicom"], table)


def test_sources_refuse_paths_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="phantoms are generated"):
        open_source("phantom", [tmp_path])
    with pytest.raises(UsageError, match="no data given"):
        open_source("ct-ich", [])
