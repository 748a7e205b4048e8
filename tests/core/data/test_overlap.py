from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.data import (
    find_overlap,
    open_source,
    prepare_dataset,
    public_data_set,
)
from ich_cli.core.data.fingerprints import patient_pseudonym, slice_hash
from ich_cli.core.phantom import write_studies
from ich_cli.core.preprocessing import PreprocessConfig
from tests.support.datasets import make_rsna
from tests.support.prepared import BlobSeries, Renamed, blobs, prepare, without_hashes

HU = np.array([[-1000, -1000, 30, 40], [-1000, 35, 70, 41], [-990, 20, 60, 43]], np.float32)


class TestSliceHash:
    def test_value(self) -> None:
        assert slice_hash(HU) == slice_hash(HU.copy())
        assert len(slice_hash(HU)) == 16
        assert int(slice_hash(HU), 16) > 0

    def test_same_in_all_eight_orientations(self) -> None:
        turned = [np.rot90(one, k) for one in (HU, HU.T) for k in range(4)]
        assert {slice_hash(np.ascontiguousarray(one)) for one in turned} == {slice_hash(HU)}

    def test_rounds_to_whole_hu(self) -> None:
        assert slice_hash(HU + np.float32(0.2)) == slice_hash(HU)

    def test_moved_pixel_changes_it(self) -> None:
        moved = HU.copy()
        moved[0, 2], moved[1, 1] = HU[1, 1], HU[0, 2]
        assert slice_hash(moved) != slice_hash(HU)

    def test_constant_slice_has_none(self) -> None:
        assert slice_hash(np.full((4, 4), -1000, np.float32)) == ""


@pytest.mark.parametrize(
    ("key", "kind", "studies", "expected"),
    [
        ("ID_0a1b2c3d", "rsna", (), "RSNA 2019 ID_0a1b2c3d"),
        ("ID_0a1b2c3d", "folder", ("ID_0a1b2c3d4e",), "RSNA 2019 ID_0a1b2c3d"),
        ("ID_0a1b2c3d_ID_0a1b2c3d4e", "bhsd", (), "RSNA 2019 ID_0a1b2c3d"),
        ("CQ500-CT-12", "folder", (), "CQ500 12"),
        ("CQ500CT12", "seg-cq500", (), "CQ500 12"),
        ("CQ500CT12 CQ500CT12", "folder", (), "CQ500 12"),
        ("049", "ct-ich", (), "CT-ICH 49"),
    ],
)
def test_pseudonyms_of_public_sets(
    key: str, kind: str, studies: tuple[str, ...], expected: str
) -> None:
    assert patient_pseudonym(key, kind, studies) == expected
    assert public_data_set(expected) == expected.rpartition(" ")[0]


@pytest.mark.parametrize("key", ["DOE^JOHN", "049", "ID_12345678", "CQ500-CT-12X"])
def test_other_patients_get_a_keyed_hash(key: str) -> None:
    found = patient_pseudonym(key, "folder", ("1.2.840.1",))
    assert len(found) == 16
    assert key not in found
    assert found not in hashlib.sha256(key.encode()).hexdigest()
    assert public_data_set(found) == ""
    assert found == patient_pseudonym(key, "folder")


def test_nothing_shared_leaves_the_patients_as_they_are(tmp_path: Path) -> None:
    data = blobs(tmp_path / "a", 4), blobs(tmp_path / "b", 3, first=10)
    found = find_overlap(data)
    np.testing.assert_array_equal(found.groups[0], data[0].patients)
    assert not found.shared_with_first(1).any()
    assert found.to_dict() == {"patients": 0, "slices": 0}
    assert found.describe() == ""


def test_same_set_twice(tmp_path: Path) -> None:
    data = blobs(tmp_path / "a", 4)
    found = find_overlap((data, data))
    np.testing.assert_array_equal(found.groups[1], found.groups[0])
    assert found.repeated[1].all()
    assert not found.repeated[0].any()
    assert found.describe() == (
        "overlap: 4 patients are in several data sets or share slices, and stay in one fold; "
        "24 copies of slices are left out of training"
    )


def test_same_patient_with_other_images(tmp_path: Path) -> None:
    a = prepare(tmp_path / "a", [BlobSeries(0, "DOE^JOHN"), BlobSeries(1, "ROE^JANE")])
    b = prepare(tmp_path / "b", [BlobSeries(7, "ROE^JANE"), BlobSeries(8, "POE^ANN")])
    found = find_overlap((a, b))
    assert found.shared_with_first(1).tolist() == [True] * 6 + [False] * 6
    assert found.groups[1].tolist() == [1] * 6 + [3] * 6
    assert found.to_dict() == {"patients": 1, "slices": 0}


def test_same_images_under_another_patient(tmp_path: Path) -> None:
    a = prepare(tmp_path / "a", [BlobSeries(0, "DOE^JOHN"), BlobSeries(1, "ROE^JANE")])
    b = prepare(tmp_path / "b", [Renamed(1, "ANONYMOUS", shown=5)])
    found = find_overlap((a, b))
    assert found.groups[1].tolist() == [1] * 6
    assert found.to_dict() == {"patients": 1, "slices": 6}


def test_two_patients_of_one_set_with_the_same_images(tmp_path: Path) -> None:
    series = [BlobSeries(0, "DOE^JOHN"), BlobSeries(1, "ROE^JANE"), Renamed(0, "X", shown=5)]
    found = find_overlap([prepare(tmp_path / "a", series)])
    assert found.groups[0].tolist() == [0] * 6 + [1] * 6 + [0] * 6
    assert found.repeated[0].tolist() == [False] * 12 + [True] * 6


def test_third_set_joins_patients_of_the_first(tmp_path: Path) -> None:
    a = prepare(tmp_path / "a", [BlobSeries(0, "DOE^JOHN"), BlobSeries(1, "ROE^JANE")])
    b = prepare(tmp_path / "b", [BlobSeries(0, "X"), Renamed(1, "X", shown=5)])
    assert np.unique(find_overlap((a, b)).groups[0]).tolist() == [0]


def test_sets_of_earlier_versions_are_compared_by_prepared_pixels(tmp_path: Path) -> None:
    a, b = without_hashes(blobs(tmp_path / "a", 3)), blobs(tmp_path / "b", 2)
    assert a.rows[0].hu_hash == ""
    assert a.rows[0].pseudonym == ""
    assert find_overlap((a, b)).to_dict() == {"patients": 2, "slices": 12}
    other = blobs(tmp_path / "c", 2, size=48)  # prepared pixels differ
    assert find_overlap((a, other)).to_dict() == {"patients": 0, "slices": 0}


def test_other_preprocessing_does_not_hide_copies(tmp_path: Path) -> None:
    a, b = blobs(tmp_path / "a", 3), blobs(tmp_path / "b", 2, size=48)
    assert find_overlap((a, b)).to_dict() == {"patients": 2, "slices": 12}


def test_rsna_patients_keep_their_public_pseudonyms(tmp_path: Path) -> None:
    files = next(make_rsna(tmp_path / "rsna").rglob("stage_2_train"))
    series, info = open_source("rsna", [files])
    data = prepare_dataset(series, tmp_path / "out", PreprocessConfig(size=32), info)
    assert len({row.pseudonym for row in data.rows}) == 6
    assert all(row.pseudonym.startswith("RSNA 2019 ID_") for row in data.rows)


def test_phantoms_read_as_own_dicom_are_not_real_ct(tmp_path: Path) -> None:
    write_studies(tmp_path / "phantoms", 2, 1, size=64, slices=(16, 16))
    series, info = open_source("folder", [tmp_path / "phantoms"])
    assert info.real_ct
    data = prepare_dataset(series, tmp_path / "out", PreprocessConfig(size=32), info)
    assert not data.real_ct
    assert data.about["synthetic"] == 32
    assert {row.pseudonym for row in data.rows} == {""}  # all phantoms have the same PatientIDs
