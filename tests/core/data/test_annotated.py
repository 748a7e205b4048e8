from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import open_masked
from ich_cli.core.dicom import DEFAULT_LIMITS
from ich_cli.core.errors import DataError
from tests.support.datasets import make_incomplete_ct_ich

HEADER = "PatientNumber,SliceNumber,subtype,cx,cy,w,h\n"


def test_phantoms_have_the_masks_that_were_written(phantoms: Path) -> None:
    data = open_masked(phantoms)
    found = list(data.read((0,), DEFAULT_LIMITS))
    with (phantoms / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["any"] == "1"]
    assert len(data) == len(found) == len(rows) > 0
    assert {one.ct.id.sop_uid for one in found} == {row["sop_uid"] for row in rows}
    for one in found:
        masks = np.load(phantoms / one.name.split("/")[0] / "masks.npz")
        k = list(masks["sop_uids"]).index(one.ct.id.sop_uid)
        assert list(one.masks) == ["any", "subdural"]
        assert np.array_equal(one.masks["subdural"], masks["masks"][k] & 16 > 0)
        assert one.masks["any"].any()
        assert one.around == {}


def test_phantom_blood_inside_the_mask_is_denser_than_brain(phantoms: Path) -> None:
    found = list(open_masked(phantoms).read((0,), DEFAULT_LIMITS))
    inside = np.concatenate([one.ct.hu[one.masks["any"]] for one in found])
    assert len(inside) > 100
    assert np.median(inside) > 40


def test_neighbours_come_for_models_with_context(phantoms: Path) -> None:
    first = next(open_masked(phantoms).read((0, 1), DEFAULT_LIMITS))
    assert list(first.around) == [1]
    before, after = first.around[1]
    there = [one for one in (before, after) if one is not None]
    assert there
    assert all(one.id.series_uid == first.ct.id.series_uid for one in there)


def test_boxes_of_ct_ich_are_masks(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        HEADER + "49,2,epidural,0.5,0.5,0.5,0.5\n49,2,subdural,0.9,0.9,0.1,0.1\n"
    )
    (one,) = open_masked(tmp_path).read((0, 1), DEFAULT_LIMITS)
    assert one.name == "049/2"
    assert list(one.masks) == ["any", "epidural", "subdural"]
    rows, columns = one.ct.shape
    assert one.masks["epidural"].sum() == pytest.approx(rows * columns / 4, rel=0.1)
    assert one.masks["any"].sum() > one.masks["epidural"].sum()
    assert len(one.around[1]) == 2


def test_only_some_slices(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        HEADER + "49,2,epidural,0.5,0.5,0.5,0.5\n49,1,epidural,0.5,0.5,0.5,0.5\n"
    )
    assert len(open_masked(tmp_path)) == 2
    assert [one.name for one in open_masked(tmp_path, {"049/1"}).read((0,), DEFAULT_LIMITS)] == [
        "049/1"
    ]


def test_an_unreadable_slice_is_left_out(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        HEADER + "49,77,epidural,0.5,0.5,0.5,0.5\n49,1,epidural,0.5,0.5,0.5,0.5\n"
    )
    data = open_masked(tmp_path)
    assert len(data) == 2
    assert [one.name for one in data.read((0,), DEFAULT_LIMITS)] == ["049/1"]


@pytest.mark.parametrize("row", ["49,2,epidural,0.5,0.5,0.5", "49,2,clot,0.5,0.5,0.5,0.5"])
def test_a_table_of_boxes_that_does_not_parse_is_refused(tmp_path: Path, row: str) -> None:
    make_incomplete_ct_ich(tmp_path)
    (tmp_path / "boxes.csv").write_text(f"{HEADER}{row}\n")
    with pytest.raises(DataError, match="needs PatientNumber, SliceNumber, subtype"):
        open_masked(tmp_path)


def test_a_folder_without_masks_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no lesion masks; give a folder that `ich phantom` wrote"):
        open_masked(tmp_path)
    (tmp_path / "labels.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="no lesion masks"):
        open_masked(tmp_path)


@pytest.mark.parametrize("content", [b"junk", b"PK\x03\x04junk", b""])
def test_damaged_masks_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.csv").write_text("sop_uid,patient,any\n1.2,P,1\n")
    (tmp_path / "study-0001").mkdir()
    (tmp_path / "study-0001" / "masks.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"masks.npz: damaged, or not written by `ich phantom`"):
        list(open_masked(tmp_path).read((0,), DEFAULT_LIMITS))


def test_boxed_real_slices_are_all_there(shared_data: Path) -> None:
    data = open_masked(shared_data / "ct-ich")
    assert len(data) == 257
    first = next(data.read((0,), DEFAULT_LIMITS))
    assert first.name == "051/14"
    # cx 0.26406, cy 0.60781, w 0.20156, h 0.43828 of 650 x 650 pixels
    rows, columns = np.nonzero(first.masks["subdural"])
    assert (rows.min(), rows.max()) == (253, 537)
    assert (columns.min(), columns.max()) == (106, 236)
