from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ich_cli.core.data.sources.ct_ich import open_ct_ich
from ich_cli.core.data.sources.ct_ich_pictures import reconstruct_hu
from ich_cli.core.errors import DataError
from tests.support.datasets import make_ct_ich_pictures, make_incomplete_ct_ich
from tests.support.pipeline import evaluate, explain, preprocess, train


def test_hu_come_from_the_image_that_is_not_saturated() -> None:
    brain = np.array([[0, 51, 128, 255, 255, 0]], np.uint8)
    bone = np.array([[0, 200, 0, 160, 40, 80]], np.uint8)
    # 51/255·120-20 = 4; 128/255·120-20 = 40.235; 160/255·3200-900 = 1107.843;
    # bone 40 is -398 HU, but the brain image says at least 100; bone 80 says 104, brain ≤ -20
    expected = [[-900.0, 4.0, 40.2353, 1107.8431, 100.0, -20.0]]
    np.testing.assert_allclose(reconstruct_hu(brain, bone), expected, atol=1e-3)


def test_jpeg_noise_on_air_is_air_but_dark_fluid_stays() -> None:
    brain = np.array([[1, 8, 5, 9]], np.uint8)
    bone = np.array([[0, 0, 70, 0]], np.uint8)  # air, air, -21 HU, and too bright to be noise
    expected = [[-900.0, -900.0, 5 / 255 * 120 - 20, 9 / 255 * 120 - 20]]
    np.testing.assert_allclose(reconstruct_hu(brain, bone), expected, atol=1e-3)


def test_without_a_bone_image_black_is_air_and_white_is_skull() -> None:
    brain = np.array([[0, 51, 255]], np.uint8)
    np.testing.assert_allclose(reconstruct_hu(brain, None), [[-1000.0, 4.0, 1000.0]], atol=1e-5)


def test_ct_ich_slices_come_in_order_with_labels_and_reasons(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    first, second = open_ct_ich(tmp_path)
    slices = list(first.read())
    assert [s.name for s in slices] == ["049/1", "049/2", "049/10", "049/11"]
    assert [s.labels for s in slices[:3]] == [(0,) * 6, (1, 1, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0)]
    assert slices[1].ct is not None
    assert slices[1].ct.status == "repaired"
    assert "no bone image" in slices[1].ct.notes[0]
    assert "missing or not a JPEG" in str(slices[3].error)
    assert "no row for this slice" in str(next(iter(second.read())).error)


def test_boxes_beside_ct_ich_become_masks(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        "PatientNumber,SliceNumber,subtype,cx,cy,w,h\n49,10,intraventricular,0.5,0.5,0.25,0.25\n"
    )
    masks = {one.name: one.mask for one in open_ct_ich(tmp_path)[0].read()}
    assert masks["049/2"] is None  # it bleeds, and has no box
    found = masks["049/10"]
    assert found is not None
    assert found[32, 32] == 1 << 2
    assert not found[:23].any()


def test_ct_ich_without_its_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hemorrhage_diagnosis\.csv"):
        open_ct_ich(tmp_path)


def test_ct_ich_itself_has_the_counts_that_its_paper_gives(shared_data: Path) -> None:
    series = open_ct_ich(shared_data / "ct-ich")
    assert len(series) == 82
    first = next(iter(series[0].read()))
    assert first.ct is not None
    corner = first.ct.hu[:40, :40]
    assert np.median(corner) == -900.0  # air: the bone image's darkest


def test_the_whole_pipeline_on_pictures_with_masks(tmp_path: Path) -> None:
    data = preprocess(make_ct_ich_pictures(tmp_path / "set"), tmp_path / "prepared")
    assert data.about["source"]["kind"] == "ct-ich"
    assert data.labels.sum(0).tolist() == [10, 0, 4, 0, 0, 6]
    assert data.masks is not None
    assert np.unique(np.asarray(data.masks)).tolist() == [0, 2, 16]
    bundle = train(data, tmp_path / "run", "--mask-weight", 1)
    assert evaluate(data, bundle)["study"]["count"] == 4
    picture = tmp_path / "set" / "Patients_CT" / "066" / "brain" / "3.jpg"
    assert explain(picture, bundle, tmp_path / "map.png", "--window", "40,120")


def test_a_mask_of_several_subtypes_has_none(tmp_path: Path) -> None:
    make_incomplete_ct_ich(tmp_path)
    table = tmp_path / "hemorrhage_diagnosis.csv"
    table.write_text(table.read_text().replace("49,10,1,0,0,0,0", "49,10,1,0,0,0,1"))
    drawn = np.zeros((64, 64), np.uint8)
    drawn[20:40, 20:40] = 255
    cv2.imwrite(str(tmp_path / "Patients_CT" / "049" / "brain" / "10_HGE_Seg.jpg"), drawn)
    masks = {one.name: one.mask for one in open_ct_ich(tmp_path)[0].read()}
    found = masks["049/10"]
    assert found is not None
    assert np.unique(found).tolist() == [0, 64]
