from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ich_cli.core.data import open_source, prepare_dataset
from ich_cli.core.data.sources.ct_ich import open_ct_ich, reconstruct_hu
from ich_cli.core.data.sources.phantoms import PhantomSeries
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.phantom import write_studies
from ich_cli.core.preprocessing import PreprocessConfig


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


def make_ct_ich(root: Path) -> None:
    head = np.zeros((64, 64), np.uint8)
    head[16:48, 16:48] = 110
    for patient, slices in (("049", (1, 2, 10)), ("050", (1,))):
        for kind in ("brain", "bone"):
            (root / "Patients_CT" / patient / kind).mkdir(parents=True)
            for number in slices:
                if (patient, kind, number) != ("049", "bone", 2):
                    path = root / "Patients_CT" / patient / kind / f"{number}.jpg"
                    cv2.imwrite(str(path), head if kind == "brain" else head // 110 * 75)
    cv2.imwrite(str(root / "Patients_CT" / "049" / "brain" / "10_HGE_Seg.jpg"), head)
    (root / "hemorrhage_diagnosis.csv").write_text(
        "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,"
        "Subdural,No_Hemorrhage,Fracture_Yes_No\n"
        "49,1,0,0,0,0,0,1,0\n49,2,0,0,0,1,0,0,0\n49,10,1,0,0,0,0,0,0\n49,11,0,0,0,0,0,1,0\n"
        "51,1,0,0,0,0,0,1,0\n"
    )


def test_ct_ich_slices_come_in_order_with_labels_and_reasons(tmp_path: Path) -> None:
    make_ct_ich(tmp_path)
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
    make_ct_ich(tmp_path)
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


def test_phantoms_come_with_exact_labels() -> None:
    slices = list(PhantomSeries(3, ("epidural",), size=64).read())
    assert any(s.labels and s.labels[:2] == (1.0, 1.0) for s in slices)
    for one in slices:
        assert one.mask is not None
        assert one.labels is not None
        assert one.mask.any() == (one.labels[0] == 1)
    assert {s.patient for s in slices} == {"phantom-3"}


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
