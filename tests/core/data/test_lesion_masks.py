from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data.lesion_masks import Box, blood_in_boxes, read_boxes
from ich_cli.core.errors import DataError

EPIDURAL, INTRAVENTRICULAR = 0, 2
MIDDLE = Box(EPIDURAL, 0.5, 0.5, 0.6, 0.6)
WIDE = Box(EPIDURAL, 0.25, 0.5, 0.5, 0.4)


def head() -> np.ndarray:
    """Brain of 35 HU between two walls of bone, with a clot of 20 by 20 pixels of 65 HU."""
    hu = np.full((100, 100), 35, np.float32)
    hu[:, :4] = hu[:, 96:] = 900
    hu[40:60, 40:60] = 65
    return hu


def test_dense_pixels_in_the_box_are_blood_and_the_rim_of_bone_is_not() -> None:
    mask = blood_in_boxes(head(), [MIDDLE])
    assert set(np.unique(mask)) == {0, 1}
    assert mask[42:58, 42:58].all()
    assert 400 * 0.8 < mask.sum() < 400 * 1.2
    beside_bone = blood_in_boxes(head(), [WIDE])  # from the bone on the left to the clot's half
    assert beside_bone[42:58, 42:50].all()
    assert not beside_bone[:, :38].any()


def test_bits_are_of_the_subtype_and_boxes_add_up() -> None:
    left = Box(EPIDURAL, 0.45, 0.5, 0.1, 0.2)
    right = Box(INTRAVENTRICULAR, 0.55, 0.5, 0.1, 0.2)
    mask = blood_in_boxes(head(), [left, right])
    assert mask[50, 45] == 0b001
    assert mask[50, 55] == 0b100
    assert mask[20, 20] == 0


def test_old_blood_is_taken_to_fill_the_ellipse_of_its_box() -> None:
    mask = blood_in_boxes(np.full((100, 100), 35, np.float32), [Box(EPIDURAL, 0.5, 0.4, 0.2, 0.1)])
    assert mask[40, 50] == 1
    assert mask[40, 41] == 1
    assert mask[36, 41] == 0  # the corner of the box is outside the ellipse
    assert abs(int(mask.sum()) - np.pi * 10 * 5) < 40


def test_a_box_over_the_border_is_cut() -> None:
    assert blood_in_boxes(head(), [Box(EPIDURAL, 0.0, 0.0, 0.4, 0.4)]).shape == (100, 100)


def test_boxes_are_read_by_patient_and_slice(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(
        "PatientNumber,SliceNumber,subtype,cx,cy,w,h\n"
        "51,14,subdural,0.25,0.5,0.125,0.0625\n51,14,epidural,0.5,0.5,0.1,0.1\n"
    )
    assert read_boxes(path) == {
        (51, 14): (Box(4, 0.25, 0.5, 0.125, 0.0625), Box(0, 0.5, 0.5, 0.1, 0.1))
    }


@pytest.mark.parametrize("row", ["51,14,sudural,0.2,0.5,0.1,0.1", "51,14,subdural,0.2,x,0.1,0.1"])
def test_a_table_that_does_not_parse_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(f"PatientNumber,SliceNumber,subtype,cx,cy,w,h\n{row}\n")
    with pytest.raises(DataError, match=r"boxes\.csv"):
        read_boxes(path)
